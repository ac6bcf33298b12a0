"""What surrounds every request: ids, keys, bodies and error envelopes."""

import logging
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from server_apps import Worker

from server.app import create_app
from server.settings import ServerSettings

ENVELOPE = {"message", "type", "param", "code"}


@pytest.fixture
def guarded(server_settings: ServerSettings, worker: Worker) -> Iterator[TestClient]:
    settings = ServerSettings(
        **dict(server_settings) | {"api_keys": ("first", "zweiter-schlüssel")}
    )
    with TestClient(create_app(settings)) as client:
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
