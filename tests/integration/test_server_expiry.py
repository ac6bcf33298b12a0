"""One end for a job and its files: 410 where its time is over, 404 where its owner deleted it."""

import time

import pytest
from fastapi.testclient import TestClient
from openai import APIStatusError, NotFoundError, OpenAI
from server_apps import Worker, create_video

from contract.artifacts import job_folder
from contract.jobs import record_key
from server.app import create_app
from server.settings import ServerSettings
from worker.retention import Retention

DAY = 86_400


def age(worker: Worker, job_id: str, days: float) -> None:
    """Let a job have ended so long ago."""
    worker.redis.hset(record_key(job_id), "completed_at", time.time() - days * DAY)


def sweep(worker: Worker, now: float | None = None) -> bool:
    return Retention(worker.jobs, worker.artifacts, days=7).sweep(now or time.time())


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def paths(video_id: str) -> list[str]:
    return [f"/v1/videos/{video_id}{rest}" for rest in ("", "/content", "/events")]


@pytest.mark.parametrize("is_swept", [False, True])
def test_record_and_files_are_gone_at_the_same_moment(
    api: TestClient, worker: Worker, completed_video: str, is_swept: bool
) -> None:
    age(worker, completed_video, 6.99)
    assert not sweep(worker)
    assert [api.get(path).status_code for path in paths(completed_video)] == [200] * 3
    age(worker, completed_video, 7.01)
    if is_swept:
        sweep(worker)
        assert worker.artifacts.list(job_folder(completed_video)) == []
        assert worker.jobs.get(completed_video) is None
    for path in paths(completed_video):
        answer = api.get(path)
        assert code(answer) == (410, "expired")
        assert answer.headers["x-should-retry"] == "false"


def test_it_is_gone_for_its_owner_and_unknown_to_others(
    server_settings: ServerSettings, worker: Worker
) -> None:
    settings = ServerSettings(**dict(server_settings) | {"api_keys": ("first", "second")})
    with TestClient(create_app(settings)) as api:
        api.headers["authorization"] = "Bearer first"
        video_id = create_video(api)
        worker.complete(video_id, video=b"frames")
        age(worker, video_id, 8)
        sweep(worker)
        assert code(api.get(f"/v1/videos/{video_id}")) == (410, "expired")
        assert code(api.get(f"/v1/captions/{video_id}")) == (404, "not_found")
        api.headers["authorization"] = "Bearer second"
        assert code(api.get(f"/v1/videos/{video_id}")) == (404, "not_found")


def test_what_its_owner_deleted_is_not_found(api: TestClient, completed_video: str) -> None:
    assert api.delete(f"/v1/videos/{completed_video}").json()["deleted"]
    assert code(api.get(f"/v1/videos/{completed_video}")) == (404, "not_found")


def test_a_page_cannot_start_behind_it(api: TestClient, worker: Worker, completed_video) -> None:
    age(worker, completed_video, 8)
    sweep(worker)
    answer = api.get("/v1/videos", params={"after": completed_video})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")


def test_its_id_is_not_used_again(api: TestClient, worker: Worker) -> None:
    body = {"prompt": "a red circle"}
    api.put("/v1/videos/mine", json=body)
    worker.complete("mine", video=b"frames")
    age(worker, "mine", 8)
    sweep(worker)
    assert code(api.put("/v1/videos/mine", json=body)) == (410, "gone")


def test_a_full_round_says_that_there_may_be_more(
    api: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.retention._BATCH", 2)
    for _ in range(3):
        worker.complete(create_video(api), video=b"frames")
    later = time.time() + 8 * DAY
    assert [sweep(worker, later) for _ in range(2)] == [True, False]
    assert api.get("/v1/videos").json()["data"] == []


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
def test_the_stock_client_tells_both_apart_and_does_not_try_again(
    live_url: str, worker: Worker
) -> None:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused") as client:
        expired, deleted = (client.videos.create(prompt="a red circle").id for _ in range(2))
        for video_id in (expired, deleted):
            worker.complete(video_id, video=b"frames")
        age(worker, expired, 8)
        sweep(worker)
        client.videos.delete(deleted)
        with pytest.raises(NotFoundError):
            client.videos.retrieve(deleted)
        with pytest.raises(APIStatusError) as refusal:
            client.videos.retrieve(expired)
    assert (refusal.value.status_code, refusal.value.code) == (410, "expired")
