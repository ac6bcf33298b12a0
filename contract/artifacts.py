"""The artifact store: one interface over a local folder or an S3-compatible bucket.

Keys are slash-separated paths. A job writes below `job_prefix(id, attempt)` only, so two attempts
never touch each other's files; what is not named by a manifest is garbage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, S3Store

MANIFEST = "manifest.json"
#: how long a signed URL works
SIGNED_SECONDS = 3600
#: of one request; long enough for a large video on a slow line
_S3_TIMEOUT = "300s"
#: parts of a large file that are written at the same time; each is held in memory
_IN_FLIGHT = 2


def job_folder(job_id: str) -> str:
    """Return the folder of all attempts' artifacts, with the trailing slash."""
    return f"jobs/{job_id}/"


def job_prefix(job_id: str, attempt: int) -> str:
    """Return the folder of one attempt's artifacts, with the trailing slash."""
    return f"{job_folder(job_id)}{attempt}/"


def preview_key(job_id: str, attempt: int, step: int) -> str:
    """Return where an attempt keeps the preview picture of a step."""
    return f"{job_prefix(job_id, attempt)}preview-{step}.jpg"


def upload_key(upload_id: str) -> str:
    """Return where an uploaded input is kept."""
    return f"uploads/{upload_id}/source"


def file_folder(file_id: str) -> str:
    """Return the folder of a file that a client keeps here, with the trailing slash."""
    return f"files/{file_id}/"


def file_key(file_id: str) -> str:
    """Return where the bytes of such a file are."""
    return f"{file_folder(file_id)}content"


def parts_folder(upload_id: str) -> str:
    """Return the folder of the parts of an upload that is not complete, with the trailing slash."""
    return f"parts/{upload_id}/"


def batch_folder(batch_id: str) -> str:
    """Return the folder of a batch that has not ended, with the trailing slash."""
    return f"batches/{batch_id}/"


class ArtifactStore:
    """Named files under one URL.

    Args:
        url: `file:///folder` or `s3://bucket/prefix`; S3 endpoint, region and credentials come
            from the standard `AWS_*` environment variables.

    Raises:
        ValueError: for any other scheme.
    """

    def __init__(self, url: str) -> None:
        self._store = _open_store(url)
        #: a local store keeps no content type; the server knows it from the variant
        self._keeps_attributes = not isinstance(self._store, LocalStore)

    def put(self, key: str, data: bytes | Path | IO[bytes], content_type: str) -> None:
        """Write a whole file, atomically: readers see all of it or nothing."""
        options = self._attributes(content_type)
        obstore.put(self._store, key, data, max_concurrency=_IN_FLIGHT, **options)

    def write(self, key: str, chunks: Iterable[bytes], content_type: str) -> None:
        """Write a whole file as its bytes come, atomically too.

        What the iterator raises is raised here, and there is no file then.
        """
        options = self._attributes(content_type)
        with obstore.open_writer(self._store, key, max_concurrency=_IN_FLIGHT, **options) as file:
            for chunk in chunks:
                file.write(chunk)

    def get(self, key: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: if there is none.
        """
        return bytes(obstore.get(self._store, key).bytes())

    def download(self, key: str, path: Path) -> None:
        """Copy a file to the local disk in chunks.

        Raises:
            FileNotFoundError: if there is none.
        """
        with path.open("wb") as file:
            for chunk in obstore.get(self._store, key):
                file.write(chunk)

    def stat(self, key: str) -> tuple[int, str]:
        """Return size in bytes and entity tag (empty where the store has none).

        Raises:
            FileNotFoundError: if there is none.
        """
        meta = obstore.head(self._store, key)
        return meta["size"], (meta["e_tag"] or "").strip('"')

    def stream(self, key: str, start: int, end: int, chunk: int = 1 << 20) -> Iterator[bytes]:
        """Yield bytes `start` to `end` (exclusive) in pieces of at most `chunk` bytes."""
        for offset in range(start, end, chunk):
            stop = min(offset + chunk, end)
            yield bytes(obstore.get_range(self._store, key, start=offset, end=stop))

    def copy(self, source: str, key: str) -> None:
        """Copy a file within the store.

        Raises:
            FileNotFoundError: if there is none.
        """
        obstore.copy(self._store, source, key)

    def signed_url(self, key: str) -> str | None:
        """Return a URL that reads a file without credentials for `SIGNED_SECONDS`.

        None where the store is a folder, which has no address of its own.
        """
        if not isinstance(self._store, S3Store):
            return None
        return obstore.sign(self._store, "GET", key, timedelta(seconds=SIGNED_SECONDS))

    def list(self, prefix: str) -> list[str]:
        """Return every key below a folder, sorted."""
        pages = obstore.list(self._store, prefix)
        return sorted(entry["path"] for page in pages for entry in page)

    def delete(self, key: str) -> None:
        """Delete a file; one that is not there is no error."""
        with suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def delete_all(self, prefix: str) -> None:
        """Delete every file below a folder; a folder that is not there is no error."""
        while keys := self.list(prefix):
            with suppress(FileNotFoundError):  # another one deletes them as well
                obstore.delete(self._store, keys)

    def _attributes(self, content_type: str) -> dict[str, Any]:
        return {"attributes": {"Content-Type": content_type}} if self._keeps_attributes else {}

    def check(self) -> None:
        """Prove that the store answers and takes writes.

        Raises:
            Exception: whatever the store answers when it does not.
        """
        self.put("health/probe", b"ok", "text/plain")


def _open_store(url: str) -> ObjectStore:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalStore(parts.path, mkdir=True, automatic_cleanup=True)
    if parts.scheme == "s3":
        return S3Store.from_url(
            url,
            client_options={"allow_http": True, "timeout": _S3_TIMEOUT, "connect_timeout": "5s"},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
        )
    raise ValueError(f"storage_url {url!r}: the scheme must be file or s3")
