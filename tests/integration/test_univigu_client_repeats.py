"""Both clients against a server that misbehaves."""

import pytest
from client_house import Scripted, Streaming

from univigu_client import ApiError


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
