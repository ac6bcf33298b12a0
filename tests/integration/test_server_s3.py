"""The server over a real S3-protocol store."""

from collections.abc import Iterator

import httpx2
import pytest
from fastapi.testclient import TestClient
from s3_servers import S3Server
from server_apps import Worker

from server.app import create_app
from server.settings import ServerSettings

FRAMES = bytes(range(256)) * 8


@pytest.fixture
def server_settings(
    server_settings: ServerSettings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> ServerSettings:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{s3_server.new_bucket()}/artifacts"
    return server_settings.model_copy(update={"storage_url": url})


@pytest.fixture
def api(server_settings: ServerSettings) -> Iterator[TestClient]:
    with TestClient(create_app(server_settings)) as client:
        yield client


def test_files_go_through_the_bucket(api: TestClient, worker: Worker) -> None:
    assert api.get("/readyz").status_code == 200
    video_id = api.post("/v1/videos", json={"prompt": "a red circle"}).json()["id"]
    worker.complete(video_id, video=FRAMES)
    url = f"/v1/videos/{video_id}/content"
    whole = api.get(url)
    assert whole.content == FRAMES
    tag = whole.headers["etag"]
    part = api.get(url, headers={"range": "bytes=100-199", "if-range": tag})
    assert (part.status_code, part.content) == (206, FRAMES[100:200])
    caption = api.post("/v1/captions", files={"video": ("clip.mp4", FRAMES)}).json()
    assert worker.artifacts.get(f"uploads/{caption['id']}/source") == FRAMES
    api.delete(f"/v1/videos/{video_id}")
    assert worker.artifacts.list("jobs/") == []


def test_a_client_may_be_sent_to_the_bucket(api: TestClient, worker: Worker) -> None:
    video_id = api.post("/v1/videos", json={"prompt": "a red circle"}).json()["id"]
    worker.complete(video_id, video=FRAMES)
    url = f"/v1/videos/{video_id}/content"
    answer = api.get(url, params={"redirect": True}, follow_redirects=False)
    assert answer.status_code == 302
    part = httpx2.get(answer.headers["location"], headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, FRAMES[100:200])
    assert httpx2.get(answer.headers["location"].partition("?")[0]).is_client_error
    assert api.head(url, params={"redirect": True}).status_code == 200
    assert api.get(url, params={"variant": "txt", "redirect": True}).status_code == 200


def test_a_store_that_refuses_is_503(
    api: TestClient, worker: Worker, server_settings: ServerSettings
) -> None:
    video_id = api.post("/v1/videos", json={"prompt": "a red circle"}).json()["id"]
    worker.complete(video_id, video=FRAMES)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        app = create_app(server_settings)
    with TestClient(app) as locked_out:
        response = locked_out.get(f"/v1/videos/{video_id}/content")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "storage_unavailable"
        assert "artifact store" in locked_out.get("/readyz").json()["error"]["message"]
