"""Both clients against the real HTTP process, and against a server that misbehaves."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler

import pytest
from http_servers import ForgivingServer

from contract.errors import ErrorInfo
from contract.records import Status
from univigu_client import ApiError, AsyncClient, Client, StillRunning

JOB = b'{"id": "video_1", "status": "completed", "progress": 100, "caption": "x", "error": null}'


class Awaited:
    """An `AsyncClient` whose operations are run to their end, so that one test serves both."""

    def __init__(self, url):
        self._runner = asyncio.Runner()
        self._client = self._run(self._open, url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._run(self._client.__aexit__)
        self._runner.close()

    def __getattr__(self, name):
        operation = getattr(self._client, name)
        if name in ("events", "jobs"):
            return lambda *given: self._run(self._collect, operation(*given))
        return lambda *given, **named: self._run(operation, *given, **named)

    def _run(self, operation, *given, **named):
        return self._runner.run(operation(*given, **named))

    async def _open(self, url):
        return await AsyncClient(url).__aenter__()

    async def _collect(self, found):
        return [one async for one in found]


class Begun(Exception):
    """The batch is in progress."""


@pytest.fixture(params=[Client, Awaited])
def kind_of_client(request):
    return request.param


@pytest.fixture
def client(live_url, kind_of_client):
    with kind_of_client(live_url + "/v1/") as client:
        yield client


class Scripted(BaseHTTPRequestHandler):
    """Answers each request with the next status; 0 hangs up without a word."""

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("idempotency-key")))
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status = self.server.script.pop(0)
        if status == 0:
            self.connection.close()
            return
        error = {"message": "full", "type": "x", "param": None, "code": self.server.code}
        body = JOB if status == 200 else json.dumps({"error": error}).encode()
        self.send_response(status)
        self.send_header("retry-after", "0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Streaming(BaseHTTPRequestHandler):
    """Sends the rest of a log of three events, one per connection, and hangs up after each."""

    def do_GET(self):
        after = self.headers["last-event-id"]
        self.server.seen.append(after)
        self.send_response(200)
        self.end_headers()
        last = int(after) + 1
        kind = "completed" if last == 3 else "progress"
        text = f"id: {last}\nevent: {kind}\ndata: {{}}\n\nid: 99\nevent: unfinished\n"
        self.wfile.write(f": comment\n{text}".encode())

    log_message = Scripted.log_message


@pytest.fixture
def serve():
    """Start a server of a handler."""
    running = []

    def start(handler):
        server = ForgivingServer(("127.0.0.1", 0), handler)
        server.seen, server.script, server.code = [], [], "queue_full"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def scripted(serve, kind_of_client):
    """A server of scripted answers, and a client of it."""
    server = serve(Scripted)
    with kind_of_client(f"http://127.0.0.1:{server.server_port}") as client:
        yield server, client


def test_a_video_is_made_waited_for_and_downloaded(client, worker, tmp_path):
    job = client.create_video("a red circle", seed=4)
    assert (job.kind, job.status) == ("videos", "queued")
    assert worker.jobs.get(job.id).parsed_request().seed == 4
    worker.complete(job.id, video=b"an mp4")
    seen = []
    job = client.wait(job, lambda job: seen.append(job.progress))
    assert (job.status, job.text, seen) == ("completed", "a red circle moves left", [100])
    client.download(job, tmp_path / "v.mp4")
    client.download(job, tmp_path / "v.vtt", "vtt")
    assert (tmp_path / "v.mp4").read_bytes() == b"an mp4"
    assert (tmp_path / "v.vtt").read_text().startswith("WEBVTT")


def test_a_file_is_uploaded_for_its_caption(client, worker, tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"an mp4")
    job = client.create_caption(tmp_path / "in.mp4", instruction="which colour?", seed=2)
    request = worker.jobs.get(job.id).parsed_request()
    assert (request.instruction, request.seed) == ("which colour?", 2)
    assert worker.artifacts.get(request.source) == b"an mp4"
    worker.complete(job.id, "red", seconds=2.5)
    job = client.wait(job)
    assert (job.text, job.duration_seconds) == ("red", 2.5)
    client.download(job, tmp_path / "in.txt", "txt")
    assert (tmp_path / "in.txt").read_text() == "red\n"


def test_a_video_job_is_captioned_without_an_upload(client, worker):
    video = client.create_video("x")
    worker.complete(video.id, video=b"an mp4")
    job = client.create_caption(client.retrieve("videos", video.id), seed=1)
    assert worker.artifacts.get(worker.jobs.get(job.id).parsed_request().source) == b"an mp4"


def test_a_failed_job_is_no_error_of_the_client(client, worker):
    job = client.create_video("x")
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
        client.create_video("x", size="7x7")
    assert (refused.value.status, refused.value.param) == (400, "size")


def test_a_download_that_fails_leaves_no_file(client, worker, tmp_path):
    job = client.create_video("x")
    with pytest.raises(ApiError, match="queued"):
        client.download(job, tmp_path / "v.mp4")
    assert [*tmp_path.glob("*v.mp4*")] == []


def test_a_wait_that_is_over_leaves_the_job_running_until_it_is_cancelled(client, worker):
    job = client.create_video("x")
    with pytest.raises(StillRunning, match=r"is still queued after 0\.1 s"):
        client.wait(job, timeout=0.1)
    assert worker.jobs.get(job.id).status is Status.QUEUED
    client.cancel(job)
    assert client.retrieve("videos", job.id).status == "cancelled"
    client.delete(job)
    with pytest.raises(ApiError) as gone:
        client.retrieve("videos", job.id)
    assert gone.value.status in (404, 410)


def test_one_key_of_ones_own_makes_one_job(client, worker, tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"an mp4")
    jobs = {
        client.create_caption(tmp_path / "in.mp4", seed=1, idempotency_key="mine").id
        for _ in range(3)
    }
    assert len(jobs) == 1
    with pytest.raises(ApiError) as mismatch:
        client.create_caption(tmp_path / "in.mp4", seed=2, idempotency_key="mine")
    assert mismatch.value.code == "idempotency_mismatch"


def test_events_come_from_the_first_to_the_last(client, worker):
    job = client.create_video("x")
    attempt = worker.start(job.id)
    worker.jobs.progress(job.id, attempt, "denoise", 1, 2)
    worker.jobs.cancel(job.id)
    worker.jobs.finish(job.id, attempt, Status.CANCELLED)
    events = list(client.events(job))
    assert [event.type for event in events] == [
        "queued",
        "started",
        "progress",
        "cancel_requested",
        "cancelled",
    ]
    assert (events[2].data["step"], events[2].data["of"]) == (1, 2)


def test_a_broken_event_stream_goes_on_behind_the_last_event(serve, kind_of_client, monkeypatch):
    for module in ("synchronous", "asynchronous"):
        monkeypatch.setattr(f"univigu_client.{module}.PAUSE_SECONDS", 0.01)
    server, scripted = serve(Streaming), serve(Scripted)
    scripted.script = [200]
    with kind_of_client(f"http://127.0.0.1:{scripted.server_port}") as client:
        job = client.retrieve("videos", "video_1")
    with kind_of_client(f"http://127.0.0.1:{server.server_port}") as client:
        events = list(client.events(job))
    assert [event.id for event in events] == ["1", "2", "3"]
    assert server.seen == ["0", "1", "2"]


def test_reading_is_repeated_when_the_server_hangs_up_or_fails(scripted):
    server, client = scripted
    server.script = [0, 500, 200]
    assert client.retrieve("videos", "video_1").status == "completed"


@pytest.mark.parametrize("script", [[0, 0, 200], [503, 200], [500, 200]])
def test_creating_is_repeated_under_one_key_when_the_answer_is_lost(scripted, script):
    server, client = scripted
    server.script, server.code = [*script], "storage_unavailable"
    assert client.create_video("x").id == "video_1"
    assert len(server.seen) == len(script)
    ((path, key),) = {*server.seen}
    assert path == "/v1/videos"
    assert key


@pytest.mark.parametrize(
    ("status", "code"), [(503, "queue_full"), (503, "model_loading"), (429, "too_many_jobs")]
)
def test_a_call_waits_while_the_server_takes_no_job_yet(scripted, status, code):
    server, client = scripted
    server.script, server.code = [status] * 6 + [200], code
    assert client.create_video("x").id == "video_1"
    assert len(server.seen) == 7


def test_a_server_that_keeps_failing_is_given_up(scripted):
    server, client = scripted
    server.script, server.code = [503] * 9, "queue_unavailable"
    with pytest.raises(ApiError, match="full") as failed:
        client.create_video("x")
    assert (failed.value.status, len(server.seen)) == (503, 4)


def test_a_server_that_is_not_there_is_named(kind_of_client):
    with kind_of_client("http://127.0.0.1:9") as client:
        assert not client.is_ready()
        with pytest.raises(ApiError, match=r"no answer from http://127\.0\.0\.1:9/"):
            client.create_video("x")


def test_the_loaded_checkpoint_is_named(client, worker):
    assert client.is_ready()
    assert client.checkpoint() == "moving-shapes@0123abcd"


def test_jobs_are_found_by_their_words(client, worker):
    job = client.create_video("x")
    worker.complete(job.id, "a red circle moves left")
    (hit,) = client.search("moving circle")
    assert (hit.kind, hit.id, hit.text) == ("videos", job.id, "a red circle moves left")
    assert client.search("square", limit=1) == []


def test_jobs_are_listed_through_all_pages_and_by_their_states(client, worker):
    made = [client.create_video("a red circle").id for _ in range(23)]
    worker.complete(made[0])
    worker.complete(made[1])
    assert [job.id for job in client.jobs("videos")] == made[::-1]
    assert [job.id for job in client.jobs("videos", "queued")] == made[:1:-1]
    assert [job.id for job in client.jobs("videos", "completed", "failed")] == [made[1], made[0]]
    assert list(client.jobs("captions", "queued")) == []


def test_a_state_that_there_is_not_is_refused(client, worker):
    with pytest.raises(ApiError, match="in_progress") as refused:
        list(client.jobs("videos", "running"))
    assert (refused.value.status, refused.value.param) == (400, "status")


def test_a_batch_has_an_outcome_for_each_request(client, worker, monkeypatch):
    monkeypatch.setattr("univigu_client.batches._PAUSE_SECONDS", 0.05)

    def work(_):
        for job_id in worker.jobs.live_ids():
            if worker.jobs.get(job_id).status is Status.QUEUED:
                worker.complete(job_id, f"shows {job_id}")

    requests = {"one": {"prompt": "x", "seed": 3}, "bad": {"prompt": "x", "size": "7x7"}}
    batch = client.create_batch("videos", requests)
    assert (batch.status, batch.has_ended) == ("validating", False)
    batch = client.wait_batch(batch, work, 60)
    assert (batch.status, batch.total, batch.completed, batch.failed) == ("completed", 2, 1, 1)
    outcomes = client.outcomes(batch)
    job = client.retrieve("videos", outcomes["one"].id)
    assert (job.text, job.fields["seed"]) == (f"shows {job.id}", 3)
    assert (outcomes["bad"].status, outcomes["bad"].param) == (400, "size")


def test_requests_that_are_no_batch_say_why(client, worker, monkeypatch, tmp_path):
    monkeypatch.setattr("univigu_client.batches._PAUSE_SECONDS", 0.05)
    batch = client.wait_batch(client.create_batch("videos", {}), timeout=60)
    assert batch.status == "failed"
    assert batch.errors


def test_a_batch_captions_files_and_can_be_cancelled(client, worker, monkeypatch, tmp_path):
    monkeypatch.setattr("univigu_client.batches._PAUSE_SECONDS", 0.05)
    (tmp_path / "in.mp4").write_bytes(b"an mp4")
    file_id = client.upload(tmp_path / "in.mp4")
    batch = client.create_batch("captions", {"in.mp4": {"file_id": file_id, "seed": 1}})

    def until_begun(seen):
        if seen.status == "in_progress":
            raise Begun

    with pytest.raises(Begun):
        client.wait_batch(batch, until_begun, 60)
    with pytest.raises(StillRunning):
        client.wait_batch(batch, timeout=0)
    client.cancel_batch(batch)
    batch = client.wait_batch(batch, timeout=60)
    assert batch.status == "cancelled"
    assert isinstance(client.outcomes(batch)["in.mp4"], ApiError)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="must be http://HOST"):
        Client(url)
