"""The event stream of a job over a real HTTP server."""

import asyncio
import contextlib
import json
import threading
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from server_apps import Worker, create_video

from cli.embedded import EmbeddedRedis
from contract.records import Status
from server.app import create_app
from server.events import follow
from server.services import Services
from server.settings import ServerSettings

pytestmark = pytest.mark.usefixtures("worker")


def parse(text: str) -> list[dict[str, str]]:
    blocks = [block for block in text.split("\n\n") if "data:" in block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def types(text: str) -> list[str]:
    return [event["event"] for event in parse(text)]


def take_next_ticket(worker: Worker) -> None:
    """Take the next job out of its queue as a slot does."""
    worker.redis.lpop("rq:queue:generate")


@pytest.fixture
def video_id(api: TestClient) -> str:
    return str(api.post("/v1/videos", json={"prompt": "a red circle"}).json()["id"])


def test_an_ended_job_is_replayed_and_the_stream_ends(
    api: TestClient, worker: Worker, video_id: str
) -> None:
    worker.complete(video_id, video=b"x")
    response = api.get(f"/v1/videos/{video_id}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert types(response.text) == ["queued", "started", "completed"]


def test_a_replay_starts_behind_the_last_id_seen(
    api: TestClient, worker: Worker, video_id: str
) -> None:
    worker.complete(video_id, video=b"x")
    url = f"/v1/videos/{video_id}/events"
    events = parse(api.get(url).text)
    for seen, event in enumerate(events):
        rest = api.get(url, headers={"last-event-id": event["id"]}).text
        assert parse(rest) == events[seen + 1 :]


def test_an_id_that_is_none_is_refused(api: TestClient, video_id: str) -> None:
    response = api.get(f"/v1/videos/{video_id}/events", headers={"last-event-id": "x"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "Last-Event-ID"


def test_a_running_job_is_followed_until_it_ends(
    live_url: str, worker: Worker, video_id: str
) -> None:
    attempt = worker.start(video_id)
    received = []
    with httpx2.stream("GET", f"{live_url}/v1/videos/{video_id}/events", timeout=30) as stream:
        for line in stream.iter_lines():
            if not line.startswith("event: "):
                continue
            received.append(line.removeprefix("event: "))
            if received[-1] == "started":
                worker.jobs.progress(video_id, attempt, "denoise", 1, 2)
            elif received[-1] == "progress":
                worker.jobs.cancel(video_id)
            elif received[-1] == "cancel_requested":
                assert worker.jobs.finish(video_id, attempt, Status.CANCELLED)
    assert received == ["queued", "started", "progress", "cancel_requested", "cancelled"]


def test_a_preview_names_its_picture_by_where_it_is_served(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api, preview_interval=1)
    assert worker.jobs.get(video_id).parsed_request().preview_interval == 1
    attempt = worker.start(video_id)
    previews = [worker.preview(video_id, attempt, step, f"picture {step}") for step in (1, 2)]
    worker.jobs.report(video_id, attempt, "preview", {**previews[0], "step": 3, "frame": None})
    latest = api.get(f"/v1/videos/{video_id}/content?variant=preview")
    assert (latest.text, latest.headers["content-type"]) == ("picture 2", "image/jpeg")
    assert worker.jobs.finish(video_id, attempt, Status.CANCELLED)
    events = parse(api.get(f"/v1/videos/{video_id}/events").text)
    shown = [json.loads(event["data"]) for event in events if event["event"] == "preview"]
    assert [(data["step"], data["of"], data["caption"]) for data in shown] == [
        (step, 4, "a red") for step in (1, 2, 3)
    ]
    assert [data["frame"] and api.get(data["frame"]).text for data in shown] == [
        "picture 1",
        "picture 2",
        None,
    ]


def test_a_preview_that_was_never_made_is_404(api: TestClient, video_id: str) -> None:
    url = f"/v1/videos/{video_id}/content"
    for query in ({}, {"step": 7}):
        response = api.get(url, params={"variant": "preview", **query})
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "variant_not_available"
    assert api.get(url, params={"step": 7}).json()["error"]["param"] == "step"


def test_a_waiting_job_tells_its_place_each_time_it_moves_up(
    live_url: str, worker: Worker, api: TestClient
) -> None:
    ids = [create_video(api) for _ in "abc"]
    places = []
    with httpx2.stream("GET", f"{live_url}/v1/videos/{ids[2]}/events", timeout=30) as stream:
        for line in stream.iter_lines():
            if not line.startswith("data: "):
                continue
            places.append(json.loads(line.removeprefix("data: ")).get("position"))
            if places[-1] in (3, 2):
                take_next_ticket(worker)
            elif places[-1] == 1:
                worker.jobs.cancel(ids[2])
    assert places == [3, 2, 1, None]


def test_a_stream_ends_when_its_job_is_deleted(
    live_url: str, worker: Worker, video_id: str
) -> None:
    worker.start(video_id)
    with httpx2.stream("GET", f"{live_url}/v1/videos/{video_id}/events", timeout=30) as stream:
        lines = stream.iter_lines()
        next(lines)
        threading.Thread(target=httpx2.delete, args=(f"{live_url}/v1/videos/{video_id}",)).start()
        assert list(lines)[-1] == ""


def test_a_stream_ends_when_redis_goes_away(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis(tmp_path))
        settings = ServerSettings(redis_url=server.url, data_dir=tmp_path)
        services = Services.connect(settings)
        stack.callback(services.close)
        worker = Worker(services.redis, services.artifacts)
        worker.warm_up()
        with TestClient(create_app(settings)) as api:
            video_id = api.post("/v1/videos", json={"prompt": "x"}).json()["id"]

        async def follow_until_redis_stops() -> list[str]:
            received = []
            async for event in follow(services, video_id, "0"):
                received.append(event.type)
                stack.close()
            return received

        assert asyncio.run(follow_until_redis_stops()) == ["queued"]
