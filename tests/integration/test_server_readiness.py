"""What the server says and does while parts behind it are missing, full, or shared."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient
from server_apps import CAPABILITIES, Worker

from contract.artifacts import ArtifactStore
from server.app import create_app
from server.services import Services
from server.settings import ServerSettings

ENVELOPE = {"message", "type", "param", "code"}


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[TestClient]:
    """A server whose Redis and artifact store are not there."""
    settings = ServerSettings(
        redis_url="redis://127.0.0.1:1/0", data_dir=tmp_path, storage_url="s3://bucket"
    )
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ENDPOINT": "http://127.0.0.1:1",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            environment.setenv(name, value)
        app = create_app(settings)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "files"), [("videos", {"prompt": (None, "x")}), ("captions", {"video": ("a", b"x")})]
)
def test_before_the_first_warm_engine_jobs_are_not_taken(
    api: TestClient, server_settings: ServerSettings, path: str, files: dict[str, Any]
) -> None:
    response = api.post(f"/v1/{path}", files=files)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "model_loading"
    assert int(response.headers["retry-after"]) > 0
    assert ArtifactStore(server_settings.artifacts_url).list("uploads/") == []


def test_before_the_first_warm_engine_no_model_is_listed(api: TestClient) -> None:
    assert api.get("/v1/models").json()["data"] == []
    assert api.get("/v1/videos/models").status_code == 503


def test_the_loaded_model_is_listed(api: TestClient, worker: Worker) -> None:
    (model,) = api.get("/v1/models").json()["data"]
    assert (model["id"], model["object"]) == ("univigu", "model")
    assert api.get("/v1/models/univigu").json() == model
    assert api.get(f"/v1/models/{CAPABILITIES.checkpoint}").json() == model


def test_defaults_and_limits_are_those_that_requests_are_held_to(
    api: TestClient, worker: Worker
) -> None:
    (model,) = api.get("/v1/videos/models").json()["data"]
    assert model["sizes"] == ["96x64", "64x64"]
    video = api.post("/v1/videos", json={"prompt": "x"}).json()
    assert {name: video[name] for name in model["defaults"]} == model["defaults"]
    limits = {name: model["limits"][name] for name in ("num_frames", "num_inference_steps")}
    assert api.post("/v1/videos", json={"prompt": "x", **limits}).status_code == 200


def test_ready_means_that_an_engine_is_warm_now(api: TestClient, worker: Worker) -> None:
    assert api.get("/readyz").json() == {"status": "ready", "warm_engines": 1}
    worker.redis.delete("univigu:engine:test-worker")
    response = api.get("/readyz")
    assert response.status_code == 503
    assert "no engine is warm" in response.json()["error"]["message"]
    assert api.get("/healthz").json() == {"status": "ok"}


def test_without_redis_and_store_the_server_says_so_and_lives(lonely: TestClient) -> None:
    started = time.monotonic()
    message = lonely.get("/readyz").json()["error"]["message"]
    assert "Redis does not answer" in message
    assert "artifact store does not answer" in message
    assert lonely.get("/healthz").status_code == 200
    response = lonely.get("/v1/videos")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "queue_unavailable"
    assert int(response.headers["retry-after"]) > 0
    assert time.monotonic() - started < 10


def test_a_redis_without_memory_is_503(api: TestClient, worker: Worker) -> None:
    worker.redis.config_set("maxmemory", 1)
    try:
        response = api.post("/v1/videos", json={"prompt": "x"})
    finally:
        worker.redis.config_set("maxmemory", 0)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "queue_unavailable"
    assert worker.jobs.live_ids() == set()


def test_a_full_queue_is_503_until_it_moves(
    server_settings: ServerSettings, worker: Worker
) -> None:
    settings = server_settings.model_copy(update={"max_queued_jobs": 2})
    with TestClient(create_app(settings)) as api:
        request = {"json": {"prompt": "x"}}
        assert [api.post("/v1/videos", **request).status_code for _ in range(2)] == [200, 200]
        response = api.post("/v1/videos", **request)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "queue_full"
        assert int(response.headers["retry-after"]) > 0
        worker.redis.lpop("rq:queue:generate")
        assert api.post("/v1/videos", **request).status_code == 200


def test_two_servers_on_one_redis_answer_for_each_others_jobs(
    server_settings: ServerSettings, worker: Worker
) -> None:
    with (
        TestClient(create_app(server_settings)) as one,
        TestClient(create_app(server_settings)) as other,
    ):
        video_id = one.post("/v1/videos", json={"prompt": "x"}).json()["id"]
        assert other.get(f"/v1/videos/{video_id}").status_code == 200
        worker.complete(video_id, video=b"frames")
        assert other.get(f"/v1/videos/{video_id}/content").content == b"frames"
        assert other.delete(f"/v1/videos/{video_id}").status_code == 200
        assert one.get(f"/v1/videos/{video_id}").status_code == 404


def test_a_connection_that_redis_has_dropped_is_opened_again(
    api: TestClient, worker: Worker
) -> None:
    assert api.get("/v1/videos").status_code == 200
    worker.redis.client_kill_filter(_type="normal", skipme=True)
    assert api.get("/v1/videos").status_code == 200


def test_services_let_go_of_their_connections(server_settings: ServerSettings) -> None:
    services = Services.connect(server_settings)
    assert services.redis.ping()
    with redis.Redis.from_url(server_settings.redis_url or "") as watcher:
        before = len(watcher.client_list())
        services.close()
        assert len(watcher.client_list()) == before - 1
