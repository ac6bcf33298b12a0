"""What surrounds every request: ids, keys, envelopes, and what is missing behind the server."""

import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
def guarded(server_settings: ServerSettings, worker: Worker) -> Iterator[TestClient]:
    settings = ServerSettings(
        **dict(server_settings) | {"api_keys": ("first", "zweiter-schlüssel")}
    )
    with TestClient(create_app(settings)) as client:
        yield client


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


def test_every_answer_carries_a_request_id(api: TestClient) -> None:
    ids = [api.get(path).headers["x-request-id"] for path in ("/healthz", "/healthz", "/nowhere")]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(("given", "kept"), [("my-id.1", True), ("two words", False)])
def test_a_plain_request_id_of_the_client_is_kept(api: TestClient, given: str, kept: bool) -> None:
    answered = api.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"]
    assert (answered == given) is kept


@pytest.mark.parametrize("key", ["first", "zweiter-schlüssel"])
def test_a_configured_key_is_let_in(guarded: TestClient, key: str) -> None:
    headers = {"authorization": f"Bearer {key}".encode()}
    assert guarded.get("/v1/videos", headers=headers).status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic first", "Bearer firs"])
@pytest.mark.parametrize("path", ["/v1/videos", "/v1/captions", "/v1/models", "/v1/videos/x"])
def test_anybody_else_is_not(guarded: TestClient, path: str, header: str | None) -> None:
    response = guarded.get(path, headers={"authorization": header} if header else {})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


def test_the_key_is_asked_for_before_the_body_is_read(guarded: TestClient) -> None:
    response = guarded.post("/v1/captions", content=b"x", headers={"content-type": "text/plain"})
    assert response.status_code == 401


def test_health_and_documentation_need_no_key(guarded: TestClient) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert guarded.get(path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PATCH", "/v1/videos", 405),
        ("GET", "/v1/videos?limit=many", 400),
        ("POST", "/v1/videos", 400),
        ("GET", "/v1/models/other", 404),
    ],
)
@pytest.mark.usefixtures("worker")
def test_every_error_is_the_same_envelope(
    api: TestClient, method: str, path: str, status: int
) -> None:
    response = api.request(method, path)
    assert response.status_code == status
    assert response.json()["error"].keys() == ENVELOPE


@pytest.mark.parametrize(
    ("content_type", "content", "code"),
    [
        ("application/json", b"{", "invalid_json"),
        ("application/json", b"[" * 100_000, "invalid_json"),
        ("application/json", b'{"prompt": NaN}', "invalid_json"),
        ("application/json", b'["prompt"]', "invalid_json"),
        ("application/json", b'{"prompt": "\\ud800"}', "invalid_json"),
        ("application/json", b"\xff", "invalid_json"),
        ("text/plain", b"a red circle", "unsupported_content_type"),
        ("multipart/form-data", b"x", "invalid_body"),
        ("multipart/form-data; boundary=b", b"--b\r\nx\r\n\r\n--b--", "invalid_body"),
    ],
)
@pytest.mark.usefixtures("worker")
def test_a_body_that_cannot_be_read_is_400(
    api: TestClient, content_type: str, content: bytes, code: str
) -> None:
    headers = {"content-type": content_type}
    response = api.post("/v1/videos", content=content, headers=headers)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["code"] == code


@pytest.mark.usefixtures("worker")
def test_a_json_body_is_bounded(api: TestClient) -> None:
    response = api.post("/v1/videos", json={"prompt": "x" * 2**20})
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


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


def test_a_defect_is_500_with_the_request_id_and_no_traceback(
    server_settings: ServerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(server_settings)

    @app.get("/defect")
    def defect() -> None:
        raise ZeroDivisionError("secret detail")

    with TestClient(app) as api, caplog.at_level(logging.ERROR, "server.middleware"):
        response = api.get("/defect", headers={"x-request-id": "req-7"})
    assert response.status_code == 500
    assert response.headers["x-request-id"] == "req-7"
    error = response.json()["error"]
    assert error.keys() == ENVELOPE
    assert "req-7" in error["message"]
    assert "secret detail" not in response.text
    assert "secret detail" in caplog.text


def test_a_client_that_leaves_while_sending_is_no_defect(
    live_url: str, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    address = urlsplit(live_url)
    with (
        caplog.at_level(logging.INFO, "server.middleware"),
        socket.create_connection((address.hostname, address.port)) as client,
    ):
        client.sendall(
            b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        client.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + 20
        while "the client has left" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert "Traceback" not in caplog.text


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
