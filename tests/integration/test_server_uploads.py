"""`/v1/uploads`: a file in parts, with the stock `openai` client and without."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from openai import BadRequestError, OpenAI
from s3_servers import S3Server
from server_apps import Worker

from contract.artifacts import ArtifactStore
from contract.uploads import UploadStore
from contract.usage import stored_bytes
from server.app import create_app
from server.settings import ServerSettings

DATA = bytes(range(256)) * 40
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture
def client(live_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def announce(api: TestClient, size: int = len(DATA), **fields: object) -> str:
    body = {"bytes": size, "filename": "a.mp4", "mime_type": "video/mp4", "purpose": "user_data"}
    response = api.post("/v1/uploads", json=body | fields)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def send(api: TestClient, upload_id: str, data: bytes) -> str:
    response = api.post(f"/v1/uploads/{upload_id}/parts", files={"data": data})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def complete(api: TestClient, upload_id: str, *part_ids: str, **fields: str) -> dict[str, object]:
    body = {"part_ids": part_ids, **fields}
    return dict(api.post(f"/v1/uploads/{upload_id}/complete", json=body).json())


def test_the_openai_client_sends_a_file_in_parts(
    client: OpenAI, tmp_path: Path, worker: Worker
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(DATA)
    upload = client.uploads.upload_file_chunked(
        file=path, mime_type="video/mp4", purpose="user_data", part_size=3000, md5=MD5
    )
    assert upload.status == "completed"
    assert upload.file is not None
    assert (upload.file.filename, upload.file.bytes) == ("clip.mp4", len(DATA))
    assert client.files.content(upload.file.id).read() == DATA
    assert worker.artifacts.list("parts/") == []


def test_a_wrong_checksum_makes_no_file(client: OpenAI, worker: Worker) -> None:
    with pytest.raises(BadRequestError, match=f"md5 is {MD5}") as caught:
        client.uploads.upload_file_chunked(
            file=DATA, filename="a", bytes=len(DATA), mime_type="a/b", purpose="batch", md5="0" * 32
        )
    assert caught.value.param == "md5"
    assert client.files.list().data == []
    assert worker.artifacts.list("files/") == []


def test_parts_are_joined_in_the_order_asked_and_one_sent_twice_is_left_out(
    api: TestClient,
) -> None:
    upload_id = announce(api)
    last, _, first = (send(api, upload_id, part) for part in (DATA[9:], DATA[9:], DATA[:9]))
    done = complete(api, upload_id, first, last, md5=MD5.upper())
    file = done["file"]
    assert isinstance(file, dict)
    assert api.get(f"/v1/files/{file['id']}/content").content == DATA
    assert complete(api, upload_id, first, last) == done


def test_a_completion_that_died_half_way_is_repeated(api: TestClient, worker: Worker) -> None:
    upload_id = announce(api)
    part = send(api, upload_id, DATA)
    store = UploadStore(worker.redis)
    before, sizes = store.get(upload_id), store.parts(upload_id)
    assert before is not None
    first = complete(api, upload_id, part)
    store.create(before)
    store.add_part(before, part, sizes[part])
    worker.artifacts.put(f"parts/{upload_id}/{part}", DATA, "application/octet-stream")
    again = complete(api, upload_id, part)
    assert again["file"]["id"] == first["file"]["id"]  # type: ignore[index]
    assert len(api.get("/v1/files").json()["data"]) == 1


def test_a_file_of_an_upload_expires_when_asked_to(api: TestClient) -> None:
    after = {"anchor": "created_at", "seconds": 7200}
    upload_id = announce(api, expires_after=after)
    file = complete(api, upload_id, send(api, upload_id, DATA))["file"]
    assert isinstance(file, dict)
    assert file["expires_at"] - file["created_at"] in (7199, 7200)


def test_a_cancelled_upload_takes_no_parts_and_keeps_none(api: TestClient, worker: Worker) -> None:
    upload_id = announce(api)
    part = send(api, upload_id, DATA)
    assert api.post(f"/v1/uploads/{upload_id}/cancel").json()["status"] == "cancelled"
    assert worker.artifacts.list("parts/") == []
    for answer in (
        api.post(f"/v1/uploads/{upload_id}/parts", files={"data": b"x"}),
        api.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": [part]}),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "upload_not_pending"
    assert api.post(f"/v1/uploads/{upload_id}/cancel").json()["status"] == "cancelled"


def test_a_part_that_comes_while_its_upload_is_cancelled_is_not_kept(
    api: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = announce(api)
    artifacts = api.app.state.services.artifacts  # type: ignore[attr-defined]
    put = artifacts.put

    def put_slowly(*args: object) -> None:
        assert api.post(f"/v1/uploads/{upload_id}/cancel").status_code == 200
        put(*args)

    monkeypatch.setattr(artifacts, "put", put_slowly)
    answer = api.post(f"/v1/uploads/{upload_id}/parts", files={"data": b"x"})
    assert answer.json()["error"]["code"] == "upload_not_pending"
    assert worker.artifacts.list("parts/") == []
    assert stored_bytes(worker.redis, "") == 0


def test_an_upload_expires_after_an_hour(api: TestClient, worker: Worker) -> None:
    upload_id = announce(api)
    record = UploadStore(worker.redis).get(upload_id)
    assert record is not None
    assert record.expires_at - record.created_at == 3600
    late = record.model_copy(update={"expires_at": record.created_at})
    UploadStore(worker.redis).create(late)
    answer = api.post(f"/v1/uploads/{upload_id}/parts", files={"data": b"x"})
    assert answer.json()["error"]["message"] == f"upload {upload_id!r} is expired"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": 8 * 2**30 + 1}, "bytes"),
        ({"purpose": "assistants"}, "purpose"),
        ({"filename": ""}, "filename"),
        ({"color": "red"}, "color"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
    ],
)
def test_what_cannot_be_uploaded_is_refused_by_name(
    api: TestClient, fields: dict[str, object], param: str
) -> None:
    body = {"bytes": 1, "filename": "a.mp4", "mime_type": "video/mp4", "purpose": "user_data"}
    response = api.post("/v1/uploads", json=body | fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_parts_that_do_not_fit_what_was_announced_are_refused(api: TestClient) -> None:
    upload_id = announce(api, size=4)
    parts = f"/v1/uploads/{upload_id}/parts"
    assert api.post(parts, files={"data": b"12345"}).json()["error"]["param"] == "data"
    assert api.post(parts, files={"data": b""}).json()["error"]["code"] == "empty_file"
    assert api.post(parts, files={"other": b"1"}).json()["error"]["param"] == "other"
    part = send(api, upload_id, b"123")
    for ids, message in (
        ([part], "the parts have 3 bytes; 4 were announced"),
        ([part, "part_x"], "has no part 'part_x'"),
        ([], "at least 1 item"),
    ):
        error = complete(api, upload_id, *ids)["error"]
        assert isinstance(error, dict)
        assert message in error["message"]
        assert error["param"] == "part_ids"


def test_a_repeated_announcement_is_one_upload(api: TestClient) -> None:
    api.headers["x-stainless-retry-count"] = "1"
    assert announce(api) == announce(api)


def test_another_key_has_no_part_in_it(server_settings: ServerSettings) -> None:
    keys = {"api_keys": "first,second"}
    settings = ServerSettings(**(server_settings.model_dump() | keys))
    with TestClient(create_app(settings)) as api:
        api.headers["authorization"] = "Bearer first"
        upload_id = announce(api)
        api.headers["authorization"] = "Bearer second"
        assert api.post(f"/v1/uploads/{upload_id}/cancel").status_code == 404


def test_parts_larger_than_one_of_the_bucket_are_joined(
    server_settings: ServerSettings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{s3_server.new_bucket()}/artifacts"
    data = bytes(7 * 2**20 + 3)
    with TestClient(create_app(server_settings.model_copy(update={"storage_url": url}))) as api:
        upload_id = announce(api, size=len(data))
        parts = [send(api, upload_id, data[:100]), send(api, upload_id, data[100:])]
        wrong = complete(api, upload_id, *parts, md5="0" * 32)
        assert "error" in wrong
        assert ArtifactStore(url).list("files/") == []
        file = complete(api, upload_id, *parts)["file"]
        assert isinstance(file, dict)
        assert api.get(f"/v1/files/{file['id']}/content").content == data
        assert ArtifactStore(url).list("parts/") == []
