"""Where the video of a caption job comes from, and which requests are refused."""

import base64
import socket
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from server_apps import Worker

from contract.artifacts import upload_key
from server.settings import ServerSettings

pytestmark = pytest.mark.usefixtures("worker")

CLIP = b"0123456789abcdef"


def named(**fields: str) -> dict[str, str | None]:
    """Return the `source` of a caption that shows these fields and no others."""
    return dict.fromkeys(("filename", "video_url", "file_id", "video_id")) | fields


class TestUrls:
    """A server that takes URLs of private addresses, as in a closed network."""

    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        return server_settings.model_copy(update={"allow_private_urls": True})

    def test_the_worker_is_told_the_url(self, api: TestClient, worker: Worker) -> None:
        url = "http://127.0.0.1:9/clip.mp4?a=b#t=1"
        response = api.post("/v1/captions", json={"video_url": url})
        assert response.json()["source"] == named(video_url="http://127.0.0.1:9/clip.mp4")
        assert worker.jobs.get(response.json()["id"]).parsed_request().source == url


def test_a_data_url_is_an_upload(api: TestClient, worker: Worker) -> None:
    url = "data:video/mp4;base64," + base64.b64encode(b"a clip").decode()
    for body in ({"json": {"video_url": url}}, {"data": {"video_url": url}}):
        caption = api.post("/v1/captions", **body).json()
        assert worker.artifacts.get(upload_key(caption["id"])) == b"a clip"
        assert caption["source"] is None


@pytest.mark.parametrize(
    ("sent", "shown"), [("clip.mp4", "clip.mp4"), ("a/b/" + 300 * "x", 255 * "x")]
)
def test_an_upload_is_known_by_the_name_of_its_file(api: TestClient, sent: str, shown: str) -> None:
    caption_id = api.post("/v1/captions", files={"video": (sent, CLIP)}).json()["id"]
    assert api.get(f"/v1/captions/{caption_id}").json()["source"] == named(filename=shown)


def test_a_file_that_is_kept_here_is_captioned_by_its_id(api: TestClient, worker: Worker) -> None:
    file = {"file": ("clip.mp4", CLIP)}
    file_id = api.post("/v1/files", files=file, data={"purpose": "user_data"}).json()["id"]
    caption = api.post("/v1/captions", json={"file_id": file_id}).json()
    assert caption["source"] == named(file_id=file_id, filename="clip.mp4")
    caption_id = caption["id"]
    source = worker.jobs.get(caption_id).parsed_request().source
    assert worker.artifacts.get(source) == CLIP
    api.delete(f"/v1/captions/{caption_id}")
    assert worker.artifacts.get(source) == CLIP


def test_an_empty_file_that_is_kept_here_is_refused(api: TestClient) -> None:
    file = {"file": ("clip.mp4", b"")}
    file_id = api.post("/v1/files", files=file, data={"purpose": "user_data"}).json()["id"]
    error = api.post("/v1/captions", json={"file_id": file_id}).json()["error"]
    assert (error["param"], error["code"]) == ("file_id", "empty_file")


@pytest.mark.parametrize(
    ("files", "data", "param", "code"),
    [
        ({"video": ("clip.mp4", b"")}, {}, "video", "empty_file"),
        ({}, {"instruction": "what?"}, "video", "missing_required_parameter"),
        ({}, {"video": "clip.mp4"}, "video", "unknown_parameter"),
        ({"video": ("a", b"x"), "audio": ("b", b"y")}, {}, "audio", "invalid_value"),
        ({"video": ("a", b"x")}, {"video_id": "video_x"}, "video", "invalid_value"),
        ({}, {"video_id": "video_x"}, "video_id", "invalid_value"),
        ({}, {"file_id": "file-x"}, "file_id", "invalid_value"),
        ({}, {"file_id": "file-x", "video_id": "video_x"}, "video", "invalid_value"),
        ({}, {"video_url": "https://169.254.169.254/x"}, "video_url", "url_not_allowed"),
        ({}, {"video_url": "https://localhost/x"}, "video_url", "url_not_allowed"),
        ({}, {"video_url": "http://93.184.216.34/x"}, "video_url", "url_not_allowed"),
        ({}, {"video_url": "file:///etc/passwd"}, "video_url", "url_not_allowed"),
        ({}, {"video_url": "clip.mp4"}, "video_url", "url_not_allowed"),
        ({}, {"video_url": "https://[/x"}, "video_url", "url_not_allowed"),
        ({}, {"video_url": "https://example.com/" + "x" * 8192}, "video_url", "url_not_allowed"),
        ({}, {"video_url": "data:video/mp4;base64,"}, "video_url", "empty_file"),
        ({}, {"video_url": "data:video/mp4;base64,ü"}, "video_url", "invalid_value"),
        ({}, {"video_url": "data:video/jpeg;base64,AAAA,ü"}, "video_url[1]", "invalid_value"),
        ({"video": ("a", b"x")}, {"seed": "-1"}, "seed", "invalid_value"),
        ({"video": ("a", b"x")}, {"num_inference_steps": "101"}, "num_inference_steps", None),
        ({"video": ("a", b"x")}, {"instruction": " "}, "instruction", "invalid_value"),
        ({"video": ("a", b"x")}, {"prompt": "x"}, "prompt", "unknown_parameter"),
        ({"video": ("a", b"x")}, {"model": "other"}, "model", "model_not_found"),
        ({"video": ("a", b"x")}, {"segment_seconds": "0"}, "segment_seconds", "invalid_value"),
        ({"video": ("a", b"x")}, {"response_format": "ass"}, "response_format", "invalid_value"),
    ],
)
def test_what_cannot_be_captioned_is_refused_by_name(
    api: TestClient,
    worker: Worker,
    files: dict[str, tuple[str, bytes]],
    data: dict[str, str],
    param: str,
    code: str | None,
) -> None:
    response = api.post("/v1/captions", files=files, data=data)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param
    assert code in (None, error["code"])
    assert worker.jobs.live_ids() == set()
    assert worker.artifacts.list("uploads/") == []


class TestUploadLimit:
    """One server with a small limit, asked with a declared length and without one."""

    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        return server_settings.model_copy(update={"max_upload_bytes": 100_000})

    @pytest.mark.parametrize("declared", [True, False])
    @pytest.mark.parametrize(("size", "status"), [(99_000, 200), (101_000, 413)])
    def test_a_body_over_the_limit_is_413(
        self, api: TestClient, declared: bool, size: int, status: int
    ) -> None:
        body = api.build_request("POST", "/x", files={"video": ("clip.mp4", b"x" * size)})
        data = body.read()
        headers = {"content-type": body.headers["content-type"]}
        content = data if declared else (data[i : i + 8192] for i in range(0, len(data), 8192))
        response = api.post("/v1/captions", content=content, headers=headers)
        assert response.status_code == status, response.text
        if status == 413:
            assert response.json()["error"]["code"] == "request_too_large"
            assert "100000 bytes" in response.json()["error"]["message"]

    def test_the_refusal_comes_before_the_upload_has_ended(self, live_url: str) -> None:
        address = urlsplit(live_url)
        assert address.hostname
        assert address.port
        chunk = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
        with socket.create_connection((address.hostname, address.port), timeout=20) as client:
            client.sendall(
                b"POST /v1/captions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
                b'47\r\n--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n'
                b"\r\n\r\n" + chunk
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
