"""What clients have sent is deleted when its time is over, and no sooner."""

import time

import pytest
import redis

from contract.artifacts import ArtifactStore, batch_folder, file_key, parts_folder
from contract.batch_records import BatchRecord
from contract.batches import BatchStore
from contract.files import FileRecord, FileStore
from contract.uploads import UploadRecord, UploadStatus, UploadStore
from contract.usage import stored_bytes
from worker.file_retention import FileRetention
from worker.janitor import Janitor
from worker.settings import WorkerSettings

NOW = time.time()
DAY = 86_400


@pytest.fixture
def connection(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path.as_uri())


@pytest.fixture
def retention(connection, store):
    return FileRetention(connection, store)


@pytest.fixture
def keep(connection, store):
    def keep(file_id, expires_at):
        store.put(file_key(file_id), b"x", "text/plain")
        record = FileRecord(
            id=file_id,
            account="a",
            filename="a",
            purpose="vision",
            bytes=1,
            created_at=NOW,
            expires_at=expires_at,
        )
        FileStore(connection).create(record)

    return keep


def test_a_file_goes_when_it_has_expired(connection, store, retention, keep):
    keep("file-early", NOW + 10)
    keep("file-late", NOW + 20)
    keep("file-kept", None)
    retention.sweep(NOW + 9)
    assert len(store.list("files/")) == 3
    retention.sweep(NOW + 11)
    assert store.list("files/") == [file_key("file-kept"), file_key("file-late")]
    assert FileStore(connection).get("file-early") is None
    assert FileStore(connection).list_ids(9, None, False, "a") == ["file-kept", "file-late"]
    retention.sweep(NOW + 1000 * DAY)
    assert store.list("files/") == [file_key("file-kept")]


@pytest.mark.parametrize("days", [0, 3])  # without a janitor
def test_an_upload_that_nobody_completed_leaves_no_parts(connection, store, retention, days):
    begun = NOW - days * DAY
    uploads = UploadStore(connection)
    record = UploadRecord(
        id="upload_1",
        account="",
        filename="a",
        purpose="vision",
        mime_type="a/b",
        bytes=1,
        created_at=begun,
        expires_at=begun + 3600,
    )
    uploads.create(record)
    store.put(parts_folder("upload_1") + "part_1", b"x", "text/plain")
    uploads.add_part(record, "part_1", 1)
    retention.sweep(begun + 3601)
    assert store.list("parts/")
    retention.sweep(begun + 2 * 3600)
    assert store.list("parts/") == []
    assert uploads.get("upload_1").status is UploadStatus.EXPIRED
    assert uploads.parts("upload_1") == {}
    assert stored_bytes(connection, "") == 0


def test_a_batch_is_kept_for_thirty_days(connection, store, retention):
    batches = BatchStore(connection)
    record = BatchRecord(
        id="batch_1",
        account="a",
        endpoint="/v1/videos",
        input_file_id="file-1",
        size=1,
        created_at=NOW,
        expires_at=NOW + DAY,
    )
    batches.create(record)
    store.put(batch_folder("batch_1") + "input.jsonl", b"x", "text/plain")
    retention.sweep(NOW + 29 * DAY)
    assert batches.get("batch_1") == record
    retention.sweep(NOW + 31 * DAY)
    assert batches.get("batch_1") is None
    assert batches.list_ids(9, None, "a") + batches.live_ids() == []
    assert store.list("batches/") == []


def test_the_janitor_does_it(connection, store, redis_url, keep):
    keep("file-1", NOW - 1)
    Janitor(connection, store, WorkerSettings(redis_url=redis_url)).sweep()
    assert store.list("files/") == []
