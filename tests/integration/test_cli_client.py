"""The client against the real HTTP process, and against a server that misbehaves."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli.answers import ApiError
from cli.client import Client
from contract.errors import ErrorInfo
from contract.records import Status

JOB = b'{"id": "video_1", "status": "completed", "progress": 100, "caption": "x", "error": null}'


@pytest.fixture
def client(live_url):
    with Client(live_url + "/v1/") as client:
        yield client


class Scripted(BaseHTTPRequestHandler):
    """Answers each request with the next status; 0 hangs up without a word."""

    def do_GET(self):
        self.server.seen.append(self.path)
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status = self.server.script.pop(0)
        if status == 0:
            self.connection.close()
            return
        body = JOB if status == 200 else b"{}"
        if status == 503:
            body = b'{"error": {"message": "full", "type": "x", "param": null, "code": "%s"}}' % (
                self.server.code
            )
        self.send_response(status)
        self.send_header("retry-after", "0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def scripted():
    """A server of scripted answers, and a client of it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.seen, server.script, server.code = [], [], b"queue_full"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with Client(f"http://127.0.0.1:{server.server_port}") as client:
        yield server, client
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_video_is_made_waited_for_and_downloaded(client, worker, tmp_path):
    job = client.create_video(prompt="a red circle", seed=4)
    assert (job.kind, job.status) == ("videos", "queued")
    assert worker.jobs.get(job.id).parsed_request().seed == 4
    worker.complete(job.id, video=b"an mp4")
    seen = []
    job = client.wait(job, seen.append)
    assert (job.status, job.text, seen) == ("completed", "a red circle moves left", [100])
    client.download(job, tmp_path / "v.mp4")
    assert (tmp_path / "v.mp4").read_bytes() == b"an mp4"


def test_a_file_is_uploaded_for_its_caption(client, worker, tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"an mp4")
    job = client.create_caption(tmp_path / "in.mp4", instruction="which colour?", seed=2)
    request = worker.jobs.get(job.id).parsed_request()
    assert (request.instruction, request.seed) == ("which colour?", 2)
    assert worker.artifacts.get(request.source) == b"an mp4"


def test_a_failed_job_is_no_error_of_the_client(client, worker):
    job = client.create_video(prompt="x")
    attempt = worker.start(job.id)
    info = ErrorInfo(code="prompt_too_long", message="prompt has 70 tokens")
    worker.jobs.finish(job.id, attempt, Status.FAILED, error=info)
    job = client.wait(job)
    assert (job.status, job.error_code, job.error) == (
        "failed",
        "prompt_too_long",
        "prompt has 70 tokens",
    )


def test_a_refusal_carries_the_servers_words_and_field(client, worker):
    with pytest.raises(ApiError, match="size 7x7 is not offered; allowed: 96x64") as refused:
        client.create_video(prompt="x", size="7x7")
    assert (refused.value.status, refused.value.param) == (400, "size")


def test_a_job_that_takes_too_long_is_cancelled(client, worker):
    job = client.create_video(prompt="x")
    with pytest.raises(ApiError, match=r"is still queued after 0\.1 s"):
        client.wait(job, seconds=0.1)
    assert worker.jobs.get(job.id).status is Status.CANCELLED


def test_an_interrupted_wait_cancels_its_job(client, worker):
    job = client.create_video(prompt="x")

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.wait(job, interrupt)
    assert worker.jobs.get(job.id).status is Status.CANCELLED


def test_reading_is_repeated_when_the_server_hangs_up_or_fails(scripted):
    server, client = scripted
    server.script = [200]
    job = client.create_video(prompt="x")
    server.script = [0, 500, 200]
    assert client._retrieve(job).status == "completed"


def test_creating_is_not_repeated_when_the_answer_is_lost(scripted):
    server, client = scripted
    server.script = [0, 200]
    with pytest.raises(ApiError, match="no answer from http"):
        client.create_video(prompt="x")
    assert server.seen == ["/v1/videos"]


@pytest.mark.parametrize("code", [b"queue_full", b"model_loading"])
def test_creating_is_repeated_while_the_server_takes_no_job_yet(scripted, code):
    server, client = scripted
    server.script, server.code = [503, 503, 200], code
    assert client.create_video(prompt="x").id == "video_1"
    assert len(server.seen) == 3


def test_creating_is_not_repeated_after_any_other_failure(scripted):
    server, client = scripted
    server.script, server.code = [503], b"queue_unavailable"
    with pytest.raises(ApiError, match="full") as failed:
        client.create_video(prompt="x")
    assert failed.value.status == 503


def test_a_server_that_is_not_there_is_named():
    with Client("http://127.0.0.1:9") as client:
        assert not client.is_ready()
        with pytest.raises(ApiError, match=r"no answer from http://127\.0\.0\.1:9: .*refused"):
            client.create_video(prompt="x")
