"""The events of a job over a WebSocket, with a real client against a real server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from server_apps import Worker, create_video
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from contract.records import Status
from server.settings import ServerSettings

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.timeout(60)]


def messages(socket: ClientConnection) -> Iterator[Any]:
    """Yield what arrives: dictionaries, and the bytes of pictures."""
    for message in socket:
        yield message if isinstance(message, bytes) else json.loads(message)


@pytest.fixture
def ws_url(live_url: str) -> str:
    return live_url.replace("http://", "ws://") + "/v1"


def test_a_running_job_is_watched_with_its_pictures(
    ws_url: str, api: TestClient, worker: Worker
) -> None:
    video_id = create_video(api, preview_interval=1)
    received: list[Any] = []
    with connect(f"{ws_url}/videos/{video_id}/ws") as socket:
        for message in messages(socket):
            received.append(message if isinstance(message, bytes) else message["type"])
            if received[-1] == "queued":
                assert message["data"]["position"] == 1
                attempt = worker.start(video_id)
                seen = message["id"]
            elif received[-1] == "started":
                worker.preview(video_id, attempt, 1, "picture 1")
            elif received[-1] == "preview":
                assert message["data"]["caption"] == "a red"
                assert api.get(message["data"]["frame"]).text == "picture 1"
            elif received[-1] == b"picture 1":
                worker.jobs.finish(video_id, attempt, Status.CANCELLED)
        with pytest.raises(ConnectionClosedOK):
            socket.recv()
    assert received == ["queued", "started", "preview", b"picture 1", "cancelled"]
    with connect(f"{ws_url}/videos/{video_id}/ws?last_event_id={seen}") as socket:
        again = [m if isinstance(m, bytes) else m["type"] for m in messages(socket)]
    assert again == received[1:]


def test_a_picture_that_is_gone_is_not_announced(
    ws_url: str, api: TestClient, worker: Worker
) -> None:
    video_id = create_video(api)
    attempt = worker.start(video_id)
    data = worker.preview(video_id, attempt, 1, "picture 1")
    worker.artifacts.delete_all(data["frame"].rpartition("/")[0])
    worker.jobs.finish(video_id, attempt, Status.CANCELLED)
    with connect(f"{ws_url}/videos/{video_id}/ws") as socket:
        (preview,) = (m for m in messages(socket) if m["type"] == "preview")
    assert preview["data"] == {**data, "frame": None}


def test_a_caption_job_is_watched_too(ws_url: str, api: TestClient, worker: Worker) -> None:
    caption_id = api.post("/v1/captions", files={"video": ("a.mp4", b"x")}).json()["id"]
    worker.complete(caption_id)
    with connect(f"{ws_url}/captions/{caption_id}/ws") as socket:
        assert [message["type"] for message in messages(socket)][-1] == "completed"


def test_a_client_that_leaves_is_followed_no_longer(
    ws_url: str, api: TestClient, worker: Worker
) -> None:
    video_id = create_video(api)
    with connect(f"{ws_url}/videos/{video_id}/ws") as socket:
        socket.send("whatever")
        assert json.loads(socket.recv())["type"] == "queued"
    worker.complete(video_id)


def refused(url: str, **options: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as caught, connect(url, **options):
        pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"]


def test_what_cannot_be_watched_is_refused_with_the_envelope(ws_url: str, api: TestClient) -> None:
    status, error = refused(f"{ws_url}/videos/video_x/ws")
    assert (status, error["code"]) == (404, "not_found")
    video_id = create_video(api)
    status, error = refused(f"{ws_url}/videos/{video_id}/ws?last_event_id=x")
    assert (status, error["param"]) == (400, "last_event_id")
    status, error = refused(f"{ws_url}/videos/{video_id}/ws", origin="https://evil.example")
    assert (status, "evil.example" in error["message"]) == (403, True)
    own = ws_url.replace("ws://", "http://").removesuffix("/v1")
    with connect(f"{ws_url}/videos/{video_id}/ws", origin=own) as socket:
        socket.recv()


class TestKeys:
    """A server that asks for a key."""

    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        return server_settings.model_copy(
            update={"api_keys": (SecretStr("secret"), SecretStr("other"))}
        )

    def test_a_key_comes_as_a_header_or_among_the_protocols(
        self, ws_url: str, api: TestClient
    ) -> None:
        api.headers["authorization"] = "Bearer secret"
        url = f"{ws_url}/videos/{create_video(api)}/ws"
        with connect(url, additional_headers={"Authorization": "Bearer secret"}) as socket:
            assert json.loads(socket.recv())["type"] == "queued"
        offered = ["univigu", "openai-insecure-api-key.secret"]
        with connect(url, subprotocols=offered, origin="https://my.example") as socket:
            assert socket.subprotocol == "univigu"
            assert json.loads(socket.recv())["type"] == "queued"

    def test_without_the_right_key_there_is_nothing_to_watch(
        self, ws_url: str, api: TestClient
    ) -> None:
        api.headers["authorization"] = "Bearer secret"
        url = f"{ws_url}/videos/{create_video(api)}/ws"
        assert refused(url)[0] == 401
        assert refused(url, additional_headers={"Authorization": "Bearer x"})[0] == 401
        assert refused(url, additional_headers={"Authorization": "Bearer other"})[0] == 404
