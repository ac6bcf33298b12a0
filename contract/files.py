"""Files that clients keep here: what is known of each, and which there are.

The bytes are in the artifact store under `contract.artifacts.file_key`; they are there before the
record is, and gone before it is gone.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

import redis
from pydantic import BaseModel, ConfigDict

from contract.indexes import list_ids
from contract.usage import keep

Purpose = Literal["batch", "batch_output", "user_data", "vision"]

#: how long a batch's input and output are kept where nobody says; other files until deleted
BATCH_FILE_SECONDS = 30 * 86_400
_EXPIRING = "univigu:files-expiring"


class FileRecord(BaseModel):
    """One file; it never changes. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    account: str
    filename: str
    purpose: Purpose
    bytes: int
    created_at: float
    #: None: kept until it is deleted
    expires_at: float | None


def new_file_id() -> str:
    """Return a fresh random id, e.g. `file-3f...`."""
    return f"file-{secrets.token_hex(12)}"


def expiry(purpose: Purpose, created_at: float, seconds: int | None) -> float | None:
    """Return when a file expires, in Unix seconds.

    Args:
        purpose: which decides where nothing was asked for.
        created_at: Unix seconds.
        seconds: what was asked for, from creation on.
    """
    if seconds is None and purpose in ("batch", "batch_output"):
        seconds = BATCH_FILE_SECONDS
    return None if seconds is None else created_at + seconds


def index_key(account: str = "", purpose: Purpose | Literal[""] = "") -> str:
    """Return the Redis key of the sorted set of files, by creation time.

    The empty account has the files of all, the empty purpose those of any.
    """
    return f"univigu:files:{account}:{purpose}"


class FileStore:
    """Reads and changes file records.

    Args:
        connection: Redis with bytes responses (`decode_responses=False`).
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def create(self, record: FileRecord) -> None:
        """Write a record; writing it again changes nothing."""
        with self._redis.pipeline() as pipeline:
            pipeline.set(_key(record.id), record.model_dump_json())
            keep(pipeline, record.account, record.id, record.bytes)
            for index in _indexes(record):
                pipeline.zadd(index, {record.id: record.created_at})
            if record.expires_at is not None:
                pipeline.zadd(_EXPIRING, {record.id: record.expires_at})
            pipeline.execute()

    def get(self, file_id: str) -> FileRecord | None:
        """Return a record, or None if there is no such file."""
        value: Any = self._redis.get(_key(file_id))
        return FileRecord.model_validate_json(value) if value else None

    def get_many(self, file_ids: list[str]) -> list[FileRecord]:
        """Return the records that exist, in the order asked."""
        values: Any = self._redis.mget([_key(file_id) for file_id in file_ids]) if file_ids else []
        return [FileRecord.model_validate_json(value) for value in values if value]

    def list_ids(
        self,
        limit: int,
        after: str | None,
        newest_first: bool,
        account: str = "",
        purpose: Purpose | Literal[""] = "",
    ) -> list[str]:
        """Return up to `limit` ids by creation time, starting behind the id `after`."""
        return list_ids(self._redis, index_key(account, purpose), limit, after, newest_first)

    def delete(self, record: FileRecord) -> None:
        """Forget a file."""
        with self._redis.pipeline() as pipeline:
            pipeline.delete(_key(record.id))
            keep(pipeline, record.account, record.id, 0)
            for index in (*_indexes(record), _EXPIRING):
                pipeline.zrem(index, record.id)
            pipeline.execute()

    def expired(self, now: float, limit: int) -> list[FileRecord]:
        """Return up to `limit` files that have expired by `now`, the oldest first."""
        ids: Any = self._redis.zrangebyscore(_EXPIRING, 0, now, start=0, num=limit)
        return self.get_many([file_id.decode() for file_id in ids])


def _key(file_id: str) -> str:
    return f"univigu:file:{file_id}"


def _indexes(record: FileRecord) -> set[str]:
    return {
        index_key(account, purpose)
        for account in ("", record.account)
        for purpose in ("", record.purpose)
    }
