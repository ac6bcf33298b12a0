"""What a key may keep, counted over its jobs and files, and given back with them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient
from httpx2 import Response
from obstore.exceptions import BaseError
from openai import OpenAI, RateLimitError
from server_apps import Worker, create_video

from contract.jobs import record_key
from contract.keys import KeyStore, parse_scopes
from contract.records import Status
from contract.requests import JobResult
from contract.usage import stored_bytes
from server.settings import ServerSettings
from worker.retention import Retention

LIMIT = 1000


@pytest.fixture
def server_settings(redis_url: str, tmp_path: Path) -> ServerSettings:
    return ServerSettings(
        redis_url=redis_url, data_dir=tmp_path, port=0, max_storage_bytes_per_key=LIMIT
    )


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


def make_video(api: TestClient, worker: Worker, size: int) -> str:
    """Make a video job whose files have so many bytes."""
    video_id = create_video(api)
    result = JobResult(text="a caption", seed=1, stored_bytes=size)
    assert worker.jobs.finish(video_id, worker.start(video_id), Status.COMPLETED, result=result)
    return video_id


def caption(api: TestClient, size: int) -> Response:
    return api.post("/v1/captions", files={"video": ("clip.mp4", b"x" * size)})


def upload(api: TestClient, size: int) -> Response:
    file = {"file": ("clip.mp4", b"x" * size)}
    return api.post("/v1/files", files=file, data={"purpose": "user_data"})


def test_jobs_inputs_and_files_are_counted_and_given_back(
    api: TestClient, worker: Worker, connection: redis.Redis
) -> None:
    def stored() -> int:
        return stored_bytes(connection, "")

    video_id = make_video(api, worker, 300)
    assert stored() == 300
    caption_id = caption(api, 50).json()["id"]
    assert stored() == 350
    result = JobResult(text="a caption", seed=1, stored_bytes=7)
    assert worker.jobs.finish(caption_id, worker.start(caption_id), Status.COMPLETED, result=result)
    assert stored() == 357
    file_id = upload(api, 100).json()["id"]
    assert stored() == 457
    api.delete(f"/v1/files/{file_id}")
    api.delete(f"/v1/videos/{video_id}")
    assert stored() == 57
    worker.redis.hset(record_key(caption_id), "completed_at", time.time() - 8 * 86_400)
    Retention(worker.jobs, worker.artifacts, days=7).sweep(time.time())
    assert stored() == 0


def test_parts_count_from_the_moment_they_are_stored(
    api: TestClient, connection: redis.Redis
) -> None:
    def announce() -> str:
        body = {"bytes": 600, "filename": "a", "mime_type": "a/b", "purpose": "user_data"}
        return str(api.post("/v1/uploads", json=body).json()["id"])

    def send(upload_id: str):
        return api.post(f"/v1/uploads/{upload_id}/parts", files={"data": b"x" * 600})

    first, second = announce(), announce()
    part = send(first).json()["id"]
    assert stored_bytes(connection, "") == 600
    assert send(second).json()["error"]["code"] == "storage_quota_exceeded"
    done = api.post(f"/v1/uploads/{first}/complete", json={"part_ids": [part]}).json()
    assert stored_bytes(connection, "") == 600
    assert send(second).status_code == 429
    api.delete(f"/v1/files/{done['file']['id']}")
    assert send(second).status_code == 200
    api.post(f"/v1/uploads/{second}/cancel")
    assert stored_bytes(connection, "") == 0


@pytest.mark.usefixtures("worker")
def test_over_the_limit_nothing_more_is_taken_until_something_is_deleted(
    api: TestClient, worker: Worker
) -> None:
    assert caption(api, LIMIT + 1).status_code == 429
    video_id = make_video(api, worker, LIMIT - 10)
    assert upload(api, 11).status_code == 429
    announced = {"purpose": "user_data", "filename": "clip.mp4", "mime_type": "video/mp4"}
    assert api.post("/v1/uploads", json=announced | {"bytes": 11}).status_code == 429
    assert upload(api, 10).status_code == 200
    for refused in (
        api.post("/v1/videos", json={"prompt": "a red circle"}),
        caption(api, 1),
        upload(api, 1),
    ):
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (429, "storage_quota_exceeded")
        assert error["type"] == "rate_limit_error"
        assert str(LIMIT) in error["message"]
        assert refused.headers["x-ratelimit-limit-bytes"] == str(LIMIT)
        assert refused.headers["x-ratelimit-remaining-bytes"] == "0"
        assert refused.headers["x-should-retry"] == "false"
    assert worker.artifacts.list("uploads/") == []
    assert api.get(f"/v1/videos/{video_id}").status_code == 200
    api.delete(f"/v1/videos/{video_id}")
    assert caption(api, 1).status_code == 200


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("first", [upload, caption])
def test_what_is_being_stored_has_its_room_already(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, first: Callable[..., Response]
) -> None:
    artifacts = api.app.state.services.artifacts  # type: ignore[attr-defined]
    store, meanwhile = artifacts.put, list[Response]()

    def put(*given: object) -> None:
        monkeypatch.undo()
        meanwhile.extend(upload(api, size) for size in (LIMIT - 599, LIMIT - 600))
        store(*given)

    monkeypatch.setattr(artifacts, "put", put)
    assert first(api, 600).status_code == 200
    assert [answer.status_code for answer in meanwhile] == [429, 200]
    assert "600 are being stored" in meanwhile[0].json()["error"]["message"]
    assert meanwhile[0].headers["retry-after"] == "5"  # it may fail, and leave its room


@pytest.mark.usefixtures("worker")
def test_a_repeat_is_not_refused_for_the_room_of_its_first_try(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = api.app.state.services.artifacts  # type: ignore[attr-defined]
    store, repeats = artifacts.put, list[Response]()
    given: dict[str, Any] = {
        "files": {"file": ("a.mp4", b"x" * 600)},
        "data": {"purpose": "user_data"},
        "headers": {"idempotency-key": "again"},
    }

    def put(*wanted: object) -> None:
        monkeypatch.undo()
        repeats.append(api.post("/v1/files", **given))
        store(*wanted)

    monkeypatch.setattr(artifacts, "put", put)
    first = api.post("/v1/files", **given)
    assert (first.status_code, repeats[0].status_code) == (200, 200)
    assert first.json()["id"] == repeats[0].json()["id"]


@pytest.mark.usefixtures("worker")
def test_a_look_at_the_room_takes_none(api: TestClient, connection: redis.Redis) -> None:
    body = {"bytes": 600, "filename": "a", "mime_type": "a/b", "purpose": "user_data"}
    assert api.post("/v1/uploads", json=body).status_code == 200
    assert connection.keys("univigu:reserved:*") == []


@pytest.mark.usefixtures("worker")
def test_what_could_not_be_stored_leaves_its_room(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = api.app.state.services.artifacts  # type: ignore[attr-defined]

    def put(*_: object) -> None:
        raise BaseError("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "put", put)
        assert upload(api, LIMIT).status_code == 503
    assert upload(api, LIMIT).status_code == 200


def test_a_key_may_have_a_limit_of_its_own(
    api: TestClient, worker: Worker, connection: redis.Redis
) -> None:
    _, secret = KeyStore(connection).create("small", parse_scopes(()), max_storage_bytes=10)
    api.headers["authorization"] = f"Bearer {secret}"
    answer = caption(api, 11)
    assert (answer.status_code, answer.headers["x-ratelimit-limit-bytes"]) == (429, "10")
    assert caption(api, 10).status_code == 200
    assert api.get("/v1/usage").json() == {
        "object": "usage",
        "live_jobs": 1,
        "max_live_jobs": None,
        "live_batches": 0,
        "max_live_batches": 100,
        "storage_bytes": 10,
        "max_storage_bytes": 10,
        "max_creates_per_minute": None,
    }


@pytest.mark.usefixtures("worker")
def test_the_stock_client_gives_up_at_once(live_url: str) -> None:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused") as client:
        with pytest.raises(RateLimitError) as refusal:
            client.files.create(file=("clip.mp4", b"x" * (LIMIT + 1)), purpose="user_data")
    assert refusal.value.code == "storage_quota_exceeded"


@pytest.mark.usefixtures("worker")
def test_a_caption_refused_after_its_upload_leaves_nothing(
    api: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = api.app.state.services  # type: ignore[attr-defined]
    # the room was there at the first look, and is gone by the time of the job's
    monkeypatch.setattr(services.queue, "check_room", lambda *_: None)
    monkeypatch.setattr(services.queue, "_max_queued", 0)
    assert caption(api, 10).json()["error"]["code"] == "queue_full"
    assert worker.artifacts.list("uploads/") == []
