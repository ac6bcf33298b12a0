"""Uploads in parts: a file that arrives in several requests, in any order.

Parts lie in the artifact store under `contract.artifacts.parts_folder` until the upload is
completed, which makes a file of them, or ends otherwise.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Any

import redis
from pydantic import BaseModel, ConfigDict
from redis.client import Pipeline

from contract.files import Purpose
from contract.usage import keep

#: from creation to the last moment at which it can be completed
UPLOAD_SECONDS = 3600
#: how much longer an ended upload can be asked about
_REMEMBERED_SECONDS = 86_400
#: an upload that was asked to complete in time may still be at it
_COMPLETING_SECONDS = 900
_OPEN = "univigu:uploads-open"


class UploadStatus(StrEnum):
    """States of an upload, in the words of the wire."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class UploadRecord(BaseModel):
    """What was announced. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    account: str
    filename: str
    purpose: Purpose
    mime_type: str
    bytes: int
    created_at: float
    expires_at: float
    #: that of the file, seconds from its creation
    expires_after: int | None = None
    status: UploadStatus = UploadStatus.PENDING

    @property
    def file_id(self) -> str:
        """The id of the file that it becomes: the same however often it is completed."""
        return self.id.replace("upload_", "file-", 1)


def new_upload_id() -> str:
    """Return a fresh random id, e.g. `upload_3f...`."""
    return f"upload_{secrets.token_hex(12)}"


def new_part_id() -> str:
    """Return a fresh random id, e.g. `part_3f...`."""
    return f"part_{secrets.token_hex(12)}"


class UploadStore:
    """Reads and changes upload records.

    Args:
        connection: Redis with bytes responses (`decode_responses=False`).
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def create(self, record: UploadRecord) -> None:
        """Write a new record; it stays until the upload is ended."""
        with self._redis.pipeline() as pipeline:
            pipeline.set(_key(record.id), record.model_dump_json())
            pipeline.zadd(_OPEN, {record.id: record.expires_at})
            pipeline.execute()

    def get(self, upload_id: str) -> UploadRecord | None:
        """Return a record, or None if there is no such upload."""
        value: Any = self._redis.get(_key(upload_id))
        return UploadRecord.model_validate_json(value) if value else None

    def add_part(self, record: UploadRecord, part_id: str, size: int) -> None:
        """Note a part that is stored; `size` in bytes."""
        with self._redis.pipeline() as pipeline:
            pipeline.hset(_parts_key(record.id), part_id, str(size))
            keep(pipeline, record.account, part_id, size)
            pipeline.execute()

    def parts(self, upload_id: str) -> dict[str, int]:
        """Return the size of each part in bytes, by id."""
        values: Any = self._redis.hgetall(_parts_key(upload_id))
        return {part_id.decode(): int(size) for part_id, size in values.items()}

    def finish(self, record: UploadRecord, status: UploadStatus) -> UploadRecord:
        """End an upload and forget its parts; returns what it is then."""
        ended = record.model_copy(update={"status": status})
        key = _parts_key(record.id)

        def write(pipeline: Pipeline) -> None:
            part_ids: Any = pipeline.hkeys(key)
            pipeline.multi()
            pipeline.set(_key(record.id), ended.model_dump_json(), ex=_REMEMBERED_SECONDS)
            for part_id in part_ids:
                keep(pipeline, record.account, part_id.decode(), 0)
            pipeline.delete(key)
            pipeline.zrem(_OPEN, record.id)

        self._redis.transaction(write, key)
        return ended

    def expired(self, now: float, limit: int) -> list[UploadRecord]:
        """Return up to `limit` uploads whose time was over well before `now`, never ended."""
        ids: Any = self._redis.zrangebyscore(
            _OPEN, 0, now - _COMPLETING_SECONDS, start=0, num=limit
        )
        found = [self.get(upload_id.decode()) for upload_id in ids]
        return [record for record in found if record]


def _key(upload_id: str) -> str:
    return f"univigu:upload:{upload_id}"


def _parts_key(upload_id: str) -> str:
    return f"univigu:upload-parts:{upload_id}"
