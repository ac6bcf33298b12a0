"""`/v1/files`, with the stock `openai` client and without, over real stores."""

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from openai import BadRequestError, NotFoundError, OpenAI
from s3_servers import S3Server
from server_apps import Worker

from contract.artifacts import ArtifactStore, file_key
from contract.files import FileStore
from server.app import create_app
from server.settings import ServerSettings

DATA = bytes(range(256)) * 40


@pytest.fixture
def client(live_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def keep(api: TestClient, data: bytes = DATA, purpose: str = "user_data", **fields: str) -> str:
    response = api.post(
        "/v1/files", files={"file": ("clip.mp4", data)}, data={"purpose": purpose, **fields}
    )
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


class TestWithTheOpenAIClient:
    def test_a_file_is_kept_read_and_deleted(self, client: OpenAI) -> None:
        kept = client.files.create(file=("clip.mp4", DATA), purpose="user_data")
        assert (kept.filename, kept.bytes, kept.status) == ("clip.mp4", len(DATA), "processed")
        assert kept.expires_at is None
        assert client.files.retrieve(kept.id) == kept
        assert client.files.content(kept.id).read() == DATA
        assert client.files.wait_for_processing(kept.id) == kept
        deleted = client.files.delete(kept.id)
        assert (deleted.id, deleted.deleted) == (kept.id, True)
        with pytest.raises(NotFoundError, match="does not exist"):
            client.files.content(kept.id)

    def test_the_input_of_a_batch_expires_in_30_days_or_when_asked_to(self, client: OpenAI) -> None:
        default = client.files.create(file=b"{}", purpose="batch")
        asked = client.files.create(
            file=b"{}",
            purpose="batch",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        lives = [file.expires_at - file.created_at for file in (default, asked) if file.expires_at]
        assert lives == [30 * 86_400, 3600]

    def test_the_list_goes_through_all_pages(self, client: OpenAI) -> None:
        ids = [client.files.create(file=b"x", purpose="vision").id for _ in range(3)]
        batch = client.files.create(file=b"x", purpose="batch").id
        assert [file.id for file in client.files.list(limit=1, order="asc")] == [*ids, batch]
        assert [file.id for file in client.files.list()] == [batch, *reversed(ids)]
        assert [file.id for file in client.files.list(purpose="vision", limit=2)] == ids[::-1]

    def test_a_purpose_that_means_nothing_here_is_refused(self, client: OpenAI) -> None:
        with pytest.raises(BadRequestError, match="'batch', 'user_data' or 'vision'") as caught:
            client.files.create(file=b"x", purpose="fine-tune")
        assert caught.value.param == "purpose"


@pytest.mark.parametrize(
    ("files", "data", "param"),
    [
        ({}, {"purpose": "batch"}, "file"),
        ({"file": b"x"}, {}, "purpose"),
        ({"file": b"x"}, {"purpose": "batch_output"}, "purpose"),
        ({"file": b"x"}, {"purpose": "batch", "expires_after[seconds]": "3600"}, None),
        (
            {"file": b"x"},
            {
                "purpose": "batch",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "3599",
            },
            "expires_after.seconds",
        ),
        ({"file": b"x"}, {"purpose": "batch", "color": "red"}, "color"),
        ({"file": b"x", "other": b"y"}, {"purpose": "batch"}, "other"),
        ({"file": ("n" * 256, b"x")}, {"purpose": "batch"}, "file"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(
    api: TestClient,
    worker: Worker,
    files: dict[str, bytes],
    data: dict[str, str],
    param: str | None,
) -> None:
    response = api.post("/v1/files", files=files, data=data)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == (param or "expires_after.anchor")
    assert worker.artifacts.list("files/") == []
    assert api.get("/v1/files").json()["data"] == []


def test_content_is_served_in_ranges_and_as_no_page_of_this_server(api: TestClient) -> None:
    sent = {"file": ('a"b\u00e4.html', b"<script>")}
    file_id = api.post("/v1/files", files=sent, data={"purpose": "user_data"}).json()["id"]
    answer = api.get(f"/v1/files/{file_id}/content", headers={"range": "bytes=1-6"})
    assert (answer.status_code, answer.content) == (206, b"script")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].isascii()


def test_a_file_that_has_expired_is_not_there(
    api: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file_id = keep(api, purpose="batch", **seconds)
    record = FileStore(worker.redis).get(file_id)
    assert record is not None
    FileStore(worker.redis).create(record.model_copy(update={"expires_at": time.time() - 1}))
    assert api.get(f"/v1/files/{file_id}").status_code == 404


def test_a_repeated_request_keeps_one_file(api: TestClient, worker: Worker) -> None:
    for headers in ({"x-stainless-retry-count": "1"}, {"idempotency-key": "k"}):
        ids = set()
        for _ in range(2):
            sent = {"files": {"file": b"x"}, "data": {"purpose": "batch"}}
            ids.add(api.post("/v1/files", headers=headers, **sent).json()["id"])  # type: ignore[arg-type]
        assert len(ids) == 1
    assert len(worker.artifacts.list("files/")) == 2


class TestTwoKeys:
    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        return ServerSettings(
            redis_url=server_settings.redis_url,
            data_dir=server_settings.data_dir,
            api_keys="first,second",  # type: ignore[arg-type]
        )

    def test_a_key_sees_its_own_files_alone(self, api: TestClient) -> None:
        first, second = ({"authorization": f"Bearer {key}"} for key in ("first", "second"))
        api.headers.update(first)
        file_id = keep(api)
        api.headers.update(second)
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
            assert api.request(method, f"/v1/files/{file_id}{path}").status_code == 404
        assert api.get("/v1/files").json()["data"] == []
        assert api.get(f"/v1/files?after={file_id}").status_code == 400
        api.headers.update(first)
        assert api.get(f"/v1/files/{file_id}/content").content == DATA


class TestUploadLimit:
    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        return server_settings.model_copy(update={"max_upload_bytes": 100_000})

    @pytest.mark.parametrize(("size", "status"), [(99_000, 200), (101_000, 413)])
    def test_a_body_over_the_limit_is_413(self, api: TestClient, size: int, status: int) -> None:
        sent = api.build_request(
            "POST", "/x", files={"file": b"x" * size}, data={"purpose": "batch"}
        )
        data = sent.read()
        pieces = (data[i : i + 8192] for i in range(0, len(data), 8192))  # no declared length
        headers = {"content-type": sent.headers["content-type"]}
        assert api.post("/v1/files", content=pieces, headers=headers).status_code == status


def test_files_go_through_a_bucket(
    server_settings: ServerSettings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{s3_server.new_bucket()}/artifacts"
    settings = server_settings.model_copy(update={"storage_url": url})
    with TestClient(create_app(settings)) as api:
        file_id = keep(api, DATA)
        assert ArtifactStore(url).get(file_key(file_id)) == DATA
        assert api.get(f"/v1/files/{file_id}/content").content == DATA
        api.delete(f"/v1/files/{file_id}")
        assert ArtifactStore(url).list("files/") == []
