"""Files that clients keep here: what they send, what they read, and a file as a job's source."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.artifacts import file_key
from contract.files import FileRecord
from server.content import Content, stored
from server.errors import InvalidRequest, NotFound
from server.services import Services

#: those that make sense here; outputs of batches are made by the server alone
UploadPurpose = Literal["batch", "user_data", "vision"]

MAX_NAME_CHARACTERS = 255


class ExpiresAfter(BaseModel):
    """When a file is deleted by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=30 * 86_400, description="From one hour to 30 days")


class FileCreate(BaseModel):
    """The fields beside the uploaded file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: UploadPurpose = Field(
        description="`batch` for the input of a batch; `user_data` or `vision` for a video"
    )
    expires_after: ExpiresAfter | None = Field(
        default=None,
        description="Default: 30 days for `batch`; others are kept until they are deleted",
    )

    @property
    def lifetime(self) -> int | None:
        """Seconds from creation to expiry; None where the purpose decides."""
        return self.expires_after.seconds if self.expires_after else None


class FileObject(BaseModel):
    """A file, as in OpenAI's API."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = Field(description="Null: kept until it is deleted")
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    status_details: None = None


class FileList(BaseModel):
    """One page of files; the next one starts `after` its `last_id`."""

    object: Literal["list"] = "list"
    data: Sequence[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """What is left of a deleted file."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def file_view(record: FileRecord) -> FileObject:
    """Return what a client reads of a file."""
    return FileObject(
        id=record.id,
        bytes=record.bytes,
        created_at=int(record.created_at),
        expires_at=None if record.expires_at is None else int(record.expires_at),
        filename=record.filename,
        purpose=record.purpose,
    )


def find_file(services: Services, account: str, file_id: str) -> FileRecord:
    """Return a file of an account; the empty account has the files of all.

    Raises:
        NotFound: if there is none, it has expired, or it is of another account.
    """
    record = services.files.get(file_id)
    if record is None or account not in ("", record.account) or _has_expired(record):
        raise NotFound(f"file {file_id!r} does not exist")
    return record


def file_content(services: Services, record: FileRecord) -> Content:
    """Return the bytes of a file.

    Raises:
        NotFound: if the store has lost them.
    """
    content = stored(services.artifacts, file_key(record.id), record.id)
    name = re.sub(r"[^\w. -]", "_", record.filename, flags=re.ASCII)
    # whatever a client has sent: no browser is to take it for a page of this server
    return Content(name, "application/octet-stream", content.size, content.etag, content.read)


def source_file(services: Services, account: str, file_id: str) -> FileRecord:
    """Return a file that a job is to read.

    Raises:
        InvalidRequest: if the account has no such file, or there is nothing in it.
    """
    try:
        file = find_file(services, account, file_id)
    except NotFound as error:
        raise InvalidRequest(f"file_id: {error.message}", param="file_id") from error
    if not file.bytes:
        message = f"file_id: {file_id!r} is an empty file"
        raise InvalidRequest(message, param="file_id", code="empty_file")
    return file


def _has_expired(record: FileRecord) -> bool:
    return record.expires_at is not None and record.expires_at <= time.time()
