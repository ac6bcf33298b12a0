"""The artifact store over a real S3-protocol server."""

from pathlib import Path

import obstore.exceptions
import pytest
from s3_servers import S3Server

from contract.artifacts import ArtifactStore


@pytest.fixture
def store(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return ArtifactStore(f"s3://{s3_server.new_bucket()}/prefix")


def test_a_job_folder_is_written_read_and_deleted(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "video.mp4"
    source.write_bytes(b"frames")
    store.put("jobs/a/1/video.mp4", source, "video/mp4")
    store.put("jobs/b/1/video.mp4", b"other", "video/mp4")
    assert store.get("jobs/a/1/video.mp4") == b"frames"
    store.delete_all("jobs/a/")
    assert store.list("jobs/") == ["jobs/b/1/video.mp4"]


def test_an_open_file_is_uploaded_and_read_in_part(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        store.put("uploads/a/source", file, "application/octet-stream")
    size, etag = store.stat("uploads/a/source")
    assert size == 10
    assert etag
    assert '"' not in etag
    assert b"".join(store.stream("uploads/a/source", 2, 6, chunk=3)) == b"2345"


def test_a_missing_object_is_a_file_not_found_error(store: ArtifactStore) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        store.get("jobs/nothing")


def test_the_check_fails_for_a_bucket_that_is_not_there(store: ArtifactStore) -> None:
    store.check()
    with pytest.raises((obstore.exceptions.BaseError, FileNotFoundError), match="NoSuchBucket"):
        ArtifactStore("s3://no-such-bucket").check()
