"""The artifact store over a local folder."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.artifacts import ArtifactStore, job_prefix, upload_key


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path.as_uri())


def test_two_attempts_of_a_job_have_folders_of_their_own() -> None:
    assert job_prefix("video_1", 1) != job_prefix("video_1", 2)
    assert job_prefix("video_1", 1).endswith("/")


def test_another_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="'ftp://x/y': the scheme must be file or s3"):
        ArtifactStore("ftp://x/y")


def test_bytes_an_open_file_and_a_path_are_stored_alike(
    store: ArtifactStore, tmp_path: Path
) -> None:
    path = tmp_path / "frames"
    path.write_bytes(b"frames")
    for key, data in {"a": b"frames", "b": io.BytesIO(b"frames"), "c": path}.items():
        store.put(f"jobs/{key}", data, "video/mp4")
        assert store.get(f"jobs/{key}") == b"frames"


def test_a_missing_file_is_a_file_not_found_error(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        store.get("jobs/nothing")
    with pytest.raises(FileNotFoundError, match="nothing"):
        store.stat("jobs/nothing")
    with pytest.raises(FileNotFoundError, match="nothing"):
        store.download("jobs/nothing", tmp_path / "copy")


def test_a_key_cannot_leave_the_folder(store: ArtifactStore) -> None:
    with pytest.raises(ValueError, match=r"\.\."):
        store.put("../outside", b"x", "text/plain")


def test_the_entity_tag_changes_with_the_content(store: ArtifactStore) -> None:
    store.put("jobs/a", b"one", "text/plain")
    size, before = store.stat("jobs/a")
    store.put("jobs/a", b"other", "text/plain")
    assert size == 3
    assert before
    assert store.stat("jobs/a") != (5, before)


@pytest.mark.parametrize(
    ("start", "end", "pieces"),
    [(0, 10, [b"0123", b"4567", b"89"]), (3, 7, [b"3456"]), (9, 10, [b"9"]), (5, 5, [])],
)
def test_a_part_is_streamed_in_pieces(
    store: ArtifactStore, start: int, end: int, pieces: list[bytes]
) -> None:
    store.put("jobs/a", b"0123456789", "text/plain")
    assert list(store.stream("jobs/a", start, end, chunk=4)) == pieces


def test_deleting_a_folder_leaves_its_neighbours(store: ArtifactStore) -> None:
    for key in ("jobs/a/1/video", "jobs/a/2/video", "jobs/ab/1/video"):
        store.put(key, b"x", "video/mp4")
    store.delete_all("jobs/a/")
    assert store.list("jobs/") == ["jobs/ab/1/video"]


def test_deleting_a_folder_that_is_not_there_is_no_error(store: ArtifactStore) -> None:
    store.delete_all("jobs/never/")
    assert store.list("jobs/never/") == []


def test_two_may_delete_a_folder_at_once(tmp_path: Path) -> None:
    class Raced(ArtifactStore):
        """Somebody else deletes the first file of every list before it can be used."""

        def list(self, prefix: str) -> list[str]:
            keys = super().list(prefix)
            if keys:
                self.delete(keys[0])
            return keys

    store = Raced(tmp_path.as_uri())
    for number in range(5):
        store.put(f"jobs/a/{number}", b"x", "video/mp4")
    store.delete_all("jobs/a/")
    assert store.list("jobs/a/") == []


def test_a_download_equals_what_was_stored(store: ArtifactStore, tmp_path: Path) -> None:
    store.put(upload_key("x"), b"y" * 100_000, "video/mp4")
    store.download(upload_key("x"), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"y" * 100_000


def test_the_check_finds_a_folder_that_takes_writes(store: ArtifactStore) -> None:
    store.check()


def test_a_file_is_written_as_its_bytes_come(store: ArtifactStore) -> None:
    store.write("jobs/a", (bytes([i]) * 1000 for i in range(3)), "video/mp4")
    assert store.get("jobs/a") == b"\0" * 1000 + b"\1" * 1000 + b"\2" * 1000
    store.write("jobs/b", iter(()), "video/mp4")
    assert store.get("jobs/b") == b""


@pytest.mark.parametrize("size", [10, 11 * 2**20])
def test_what_fails_while_it_is_written_leaves_no_file(store: ArtifactStore, size: int) -> None:
    def failing() -> Iterator[bytes]:
        yield bytes(size)
        raise ValueError("wrong checksum")

    with pytest.raises(ValueError, match="wrong checksum"):
        store.write("jobs/a", failing(), "video/mp4")
    assert store.list("jobs/") == []


def test_a_copy_outlives_its_source(store: ArtifactStore) -> None:
    store.put("jobs/a", b"frames", "video/mp4")
    store.copy("jobs/a", "other/b")
    store.delete_all("jobs/")
    assert store.get("other/b") == b"frames"
    with pytest.raises(FileNotFoundError):
        store.copy("jobs/a", "other/c")
