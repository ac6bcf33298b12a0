"""How far each batch has come, and what came of its lines.

Outcomes are kept here until the batch ends, which makes files of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from typing import Any

import redis
from redis.client import Pipeline

from contract import batch_transitions as transitions
from contract.batch_records import (
    BatchError,
    BatchRecord,
    BatchStatus,
    Ending,
    parse_batch,
)
from contract.files import BATCH_FILE_SECONDS
from contract.indexes import delist, enlist, list_ids, status_key
from contract.usage import keep

_LIVE = "univigu:batches-live"
#: outcomes read at once
_PAGE = 200


def index_key(account: str = "") -> str:
    """Return the Redis key of the sorted set of an account's batches; the empty one has all."""
    return f"univigu:batches:{account}"


class BatchStore:
    """Reads and changes batch records.

    Args:
        connection: Redis with bytes responses (`decode_responses=False`).
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection
        register = connection.register_script
        self._begin = register(transitions.BEGIN)
        self._fail = register(transitions.FAIL)
        self._cancel = register(transitions.CANCEL)
        self._finalize = register(transitions.FINALIZE)
        self._advance = register(transitions.ADVANCE)
        self._settle = register(transitions.SETTLE)
        self._finish = register(transitions.FINISH)

    def create(self, record: BatchRecord, max_live: int | None = None) -> bool:
        """Write a new record, unless there is one of this id.

        Returns:
            False if its account has `max_live` batches that have not ended: nothing is written.
        """
        key, live = _key(record.id), _live_keys(record.account)
        values = record.model_dump(exclude_none=True) | {"metadata": json.dumps(record.metadata)}
        values["errors"] = "[]"

        is_allowed = True

        def write(pipeline: Pipeline) -> None:
            nonlocal is_allowed
            is_known = pipeline.exists(key)
            count: Any = sum(map(pipeline.zcard, live))
            is_allowed = bool(is_known or max_live is None or count < max_live)
            pipeline.multi()
            if is_allowed and not is_known:
                pipeline.hset(key, mapping=values)  # type: ignore[arg-type]
                pipeline.sadd(_LIVE, record.id)
                keep(pipeline, record.account, record.id, record.size)
                for index in {index_key(), index_key(record.account)}:
                    enlist(pipeline, index, record.id, record.created_at, record.status)

        self._redis.transaction(write, key, *live)
        return is_allowed

    def get(self, batch_id: str) -> BatchRecord | None:
        """Return a record, or None if there is no such batch."""
        return next(iter(self.get_many([batch_id])), None)

    def get_many(self, batch_ids: list[str]) -> list[BatchRecord]:
        """Return the records that exist, in the order asked."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for batch_id in batch_ids:
                pipeline.hgetall(_key(batch_id))
            return [parse_batch(values) for values in pipeline.execute() if values]

    def list_ids(
        self,
        limit: int,
        after: str | None,
        account: str = "",
        statuses: Collection[BatchStatus] = (),
    ) -> list[str]:
        """Return up to `limit` ids, newest first, starting behind the id `after`.

        With statuses, only batches that are in one of them now; `after` need not be.
        """
        return list_ids(self._redis, index_key(account), limit, after, True, statuses)

    def count_live(self, account: str) -> int:
        """Return how many batches of an account have not ended."""
        return sum(self._redis.zcard(key) for key in _live_keys(account))

    def live_ids(self) -> list[str]:
        """Return the ids of all batches that have not ended."""
        members: Any = self._redis.smembers(_LIVE)
        return sorted(batch_id.decode() for batch_id in members)

    def begin(self, batch_id: str, total: int) -> bool:
        """Start a checked batch of `total` lines; False if it was cancelled meanwhile."""
        return self._run(self._begin, batch_id, total, time.time())

    def fail(self, batch_id: str, errors: list[BatchError]) -> bool:
        """End a batch whose input is none."""
        found = json.dumps([error.model_dump() for error in errors])
        return self._run(self._fail, batch_id, found, time.time())

    def cancel(self, batch_id: str) -> bool:
        """Start no more lines of a batch and stop those that run; False if it was too late."""
        return self._run(self._cancel, batch_id, time.time())

    def finalize(self, batch_id: str, ending: Ending = "") -> bool:
        """Start no more lines of a batch."""
        return self._run(self._finalize, batch_id, ending, time.time())

    def advance(
        self,
        batch_id: str,
        offset: int,
        end: int,
        custom_id: str | None = None,
        errors: list[str] | None = None,
    ) -> bool:
        """Take lines from the input; False if somebody else has taken them.

        Args:
            batch_id: which batch.
            offset: where they begin.
            end: where the next line begins.
            custom_id: of the one line that has a job now.
            errors: outcomes of lines that get none.
        """
        # no custom id is empty
        return self._run(self._advance, batch_id, offset, end, custom_id or "", *(errors or []))

    def live_lines(self, batch_id: str) -> dict[int, str]:
        """Return offset and custom id of each line that has a job and no outcome."""
        values: Any = self._redis.hgetall(_key(batch_id, "lines"))
        return {int(offset): custom_id.decode() for offset, custom_id in values.items()}

    def settle(self, batch_id: str, offset: int, is_completed: bool, outcome: str) -> bool:
        """Write what came of a live line; False if that is written."""
        return self._run(self._settle, batch_id, offset, int(is_completed), outcome)

    def outcomes(self, batch_id: str, is_completed: bool) -> Iterator[str]:
        """Yield what came of the lines that have completed, or of the others."""
        key, start = _key(batch_id, "outputs" if is_completed else "errors"), 0
        while page := self._page(key, start):
            yield from page
            start += _PAGE

    def finish(
        self, batch_id: str, status: BatchStatus, output_file_id: str, error_file_id: str
    ) -> bool:
        """End a batch whose outcomes are in files now; "" is no file."""
        return self._run(self._finish, batch_id, status, output_file_id, error_file_id, time.time())

    def outdated(self, now: float, limit: int) -> list[BatchRecord]:
        """Return up to `limit` batches that are as old as no file of a batch gets unasked."""
        cutoff = now - BATCH_FILE_SECONDS
        ids: Any = self._redis.zrangebyscore(index_key(), 0, cutoff, start=0, num=limit)
        return self.get_many([batch_id.decode() for batch_id in ids])

    def delete(self, record: BatchRecord) -> None:
        """Forget a batch."""
        with self._redis.pipeline() as pipeline:
            pipeline.delete(*_keys(record.id))
            pipeline.srem(_LIVE, record.id)
            keep(pipeline, record.account, record.id, 0)
            for index in {index_key(), index_key(record.account)}:
                delist(pipeline, index, record.id, BatchStatus)
            pipeline.execute()

    def _page(self, key: str, start: int) -> list[str]:
        values: Any = self._redis.lrange(key, start, start + _PAGE - 1)
        return [value.decode() for value in values]

    def _run(self, script: Any, batch_id: str, *args: Any) -> bool:
        return bool(script(keys=[*_keys(batch_id), _LIVE], args=[batch_id, *args]))


def _live_keys(account: str) -> list[str]:
    return [status_key(index_key(account), each) for each in BatchStatus if not each.is_terminal]


def _key(batch_id: str, part: str = "") -> str:
    # whatever a client asks for as an id must not lead to a part
    return f"univigu:batch-{part}:{batch_id}" if part else f"univigu:batch:{batch_id}"


def _keys(batch_id: str) -> list[str]:
    return [_key(batch_id), *(_key(batch_id, part) for part in ("lines", "outputs", "errors"))]
