"""Uploads in parts: what clients send and read, and how the parts become a file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from contract.artifacts import file_key, parts_folder
from contract.files import FileRecord, expiry
from contract.uploads import UploadRecord, UploadStatus, new_part_id
from server.errors import InvalidRequest, NotFound
from server.files import MAX_NAME_CHARACTERS, FileCreate, FileObject, file_view
from server.limits import storage_for
from server.services import Services

#: as at OpenAI
MAX_UPLOAD_BYTES = 8 * 2**30


class UploadCreate(FileCreate):
    """What will be uploaded."""

    bytes: int = Field(gt=0, le=MAX_UPLOAD_BYTES, description="Size of the whole file")
    filename: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS, description="Its name")
    mime_type: str = Field(max_length=255, description="Its media type; not used")


class PartCreate(BaseModel):
    """A part has no fields beside its `data`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UploadComplete(BaseModel):
    """Which parts make the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part_ids: list[str] = Field(min_length=1, description="Parts in the order of the file")
    md5: str | None = Field(default=None, description="Hexadecimal MD5 of the whole file")


class Upload(BaseModel):
    """An upload, as in OpenAI's API."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int = Field(description="The announced size")
    created_at: int
    expires_at: int = Field(description="Until then it can be completed")
    filename: str
    purpose: str
    status: UploadStatus
    file: FileObject | None = Field(description="The file that a completed upload has become")


class UploadPart(BaseModel):
    """A part that has arrived."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


def upload_view(services: Services, record: UploadRecord) -> Upload:
    """Return what a client reads of an upload."""
    is_complete = record.status is UploadStatus.COMPLETED
    file = services.files.get(record.file_id) if is_complete else None
    return Upload(
        id=record.id,
        bytes=record.bytes,
        created_at=int(record.created_at),
        expires_at=int(record.expires_at),
        filename=record.filename,
        purpose=record.purpose,
        status=record.status,
        file=file_view(file) if file else None,
    )


def find_upload(services: Services, account: str, upload_id: str) -> UploadRecord:
    """Return an upload of an account; the empty account has the uploads of all.

    Raises:
        NotFound: if there is none, or it is of another account.
    """
    record = services.uploads.get(upload_id)
    if record is None or account not in ("", record.account):
        raise NotFound(f"upload {upload_id!r} does not exist")
    if record.status is UploadStatus.PENDING and record.expires_at <= time.time():
        return record.model_copy(update={"status": UploadStatus.EXPIRED})
    return record


def check_pending(record: UploadRecord) -> None:
    """Refuse to go on with an upload that has ended.

    Raises:
        InvalidRequest: if it is completed, cancelled or expired.
    """
    if record.status is not UploadStatus.PENDING:
        raise InvalidRequest(
            f"upload {record.id!r} is {record.status}", param="upload_id", code="upload_not_pending"
        )


def store_part(services: Services, record: UploadRecord, data: UploadFile, size: int) -> str:
    """Store a part of `size` bytes; returns its id.

    Raises:
        InvalidRequest: if the upload has ended meanwhile; nothing is kept then.
        TooMany: if its account keeps as many bytes as it may.
    """
    part_id = new_part_id()
    key = parts_folder(record.id) + part_id
    with storage_for(services, record.account, part_id, size):
        services.artifacts.put(key, data.file, "application/octet-stream")
        services.uploads.add_part(record, part_id, size)
    now = services.uploads.get(record.id)
    if now and now.status is not UploadStatus.PENDING:
        end(services, now, now.status)
        check_pending(now)
    return part_id


def assemble(services: Services, record: UploadRecord, parts: UploadComplete) -> UploadRecord:
    """Make the file of an upload; returns the upload as completed.

    Doing it again makes the same file again, so whatever died in between does no harm.

    Raises:
        InvalidRequest: if a part is not there, or size or MD5 are not what was announced.
    """
    sizes = services.uploads.parts(record.id)
    for part_id in parts.part_ids:
        if part_id not in sizes:
            raise InvalidRequest(f"upload {record.id!r} has no part {part_id!r}", param="part_ids")
    total = sum(sizes[part_id] for part_id in parts.part_ids)
    if total != record.bytes:
        raise InvalidRequest(
            f"the parts have {total} bytes; {record.bytes} were announced", param="part_ids"
        )
    keys = [parts_folder(record.id) + part_id for part_id in parts.part_ids]
    data = _joined(services, [(key, sizes[key.rpartition("/")[2]]) for key in keys], parts.md5)
    services.artifacts.write(file_key(record.file_id), data, "application/octet-stream")
    now = time.time()
    services.files.create(
        FileRecord(
            id=record.file_id,
            account=record.account,
            filename=record.filename,
            purpose=record.purpose,
            bytes=total,
            created_at=now,
            expires_at=expiry(record.purpose, now, record.expires_after),
        )
    )
    return end(services, record, UploadStatus.COMPLETED)


def end(services: Services, record: UploadRecord, status: UploadStatus) -> UploadRecord:
    """End an upload and delete its parts; returns what it is then."""
    ended = services.uploads.finish(record, status)
    services.artifacts.delete_all(parts_folder(record.id))
    return ended


def _joined(services: Services, parts: list[tuple[str, int]], md5: str | None) -> Iterator[bytes]:
    digest = hashlib.md5(usedforsecurity=False)
    for key, size in parts:
        for chunk in services.artifacts.stream(key, 0, size):
            digest.update(chunk)
            yield chunk
    # raised before the last byte is written, so that there is no file then
    if md5 is not None and digest.hexdigest() != md5.lower():
        raise InvalidRequest(f"md5 is {digest.hexdigest()}, not {md5}", param="md5")
