"""The job record and its transitions: the one truth about a job.

Every transition is one Lua script that checks the record's state and changes it together with the
event log. Writers that run a job name the `attempt` they claimed; a script that finds another
attempt, or a job no longer in progress, changes nothing and says so. That check is the fence
against zombies, the cancel, and the reason that nothing is overwritten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from enum import StrEnum
from typing import Any

import redis
from redis.client import Pipeline

from contract import job_lists, transitions
from contract.errors import ErrorInfo
from contract.events import ENDS_CHANNEL, MAX_EVENTS, events_key
from contract.indexes import list_ids
from contract.queues import QUEUES, Kind
from contract.records import JobRecord, Status, parse_record
from contract.requests import JobRequest, JobResult
from contract.usage import keep, keep_new

LIVE_KEY = "univigu:live"
FIGURES_KEY = "univigu:figures"
#: how long the id of a deleted job stays taken: an old slot may still hold one of its attempts
GONE_SECONDS = 86_400
#: how long a client is told that a job has expired, not that there was none
EXPIRED_SECONDS = 7 * 86_400


class Progress(StrEnum):
    """What a progress write was answered."""

    ACCEPTED = "accepted"
    #: the owner wants the job stopped; confirm with `JobStore.finish(..., CANCELLED)`
    CANCEL_REQUESTED = "cancel_requested"
    #: another attempt owns the job, or it has ended: let go and touch nothing
    NOT_MINE = "not_mine"


def record_key(job_id: str) -> str:
    """Return the Redis key of a job's record."""
    return f"univigu:job:{job_id}"


def live_key(account: str = "") -> str:
    """Return the Redis key of the set of an account's jobs that have not ended.

    That of the empty account holds the jobs of all.
    """
    return f"{LIVE_KEY}:{account}" if account else LIVE_KEY


def gone_key(job_id: str) -> str:
    """Return the Redis key that exists for a while after a job was deleted or has expired."""
    return f"univigu:gone:{job_id}"


class JobStore:
    """Reads and changes job records.

    Args:
        connection: Redis with bytes responses (`decode_responses=False`).
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection
        register = connection.register_script
        self._claim = register(transitions.CLAIM)
        self._progress = register(transitions.PROGRESS)
        self._release = register(transitions.RELEASE)
        self._finish = register(transitions.FINISH)
        self._abandon = register(transitions.ABANDON)
        self._cancel = register(transitions.CANCEL)

    def create(
        self,
        job_id: str,
        request: JobRequest,
        pipeline: Pipeline,
        *,
        account: str = "",
        fingerprint: str = "",
        webhook_url: str = "",
        input_bytes: int = 0,
        traceparent: str = "",
    ) -> JobRecord:
        """Add a `queued` record to a pipeline, to be executed together with the enqueue."""
        values: dict[str, Any] = {
            "id": job_id,
            "kind": request.kind,
            "status": Status.QUEUED,
            "request": request.model_dump_json(),
            "created_at": time.time(),
            "account": account,
            "fingerprint": fingerprint,
            "webhook_url": webhook_url,
            "input_bytes": input_bytes,
            "traceparent": traceparent,
        }
        pipeline.hset(record_key(job_id), mapping=values)  # type: ignore[arg-type]
        for live in {LIVE_KEY, live_key(account)}:
            pipeline.sadd(live, job_id)
        job_lists.add(pipeline, request.kind, account, job_id, values["created_at"])
        if input_bytes:
            keep_new(pipeline, account, job_id, input_bytes)
        pipeline.xadd(events_key(job_id), {"type": "queued", "data": "{}"}, maxlen=MAX_EVENTS)
        return JobRecord(**values)

    def get(self, job_id: str) -> JobRecord | None:
        """Return a record, or None if there is no such job."""
        values: Any = self._redis.hgetall(record_key(job_id))
        return parse_record(values) if values else None

    def get_many(self, job_ids: list[str]) -> list[JobRecord]:
        """Return the records that exist, in the order asked."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hgetall(record_key(job_id))
            return [parse_record(values) for values in pipeline.execute() if values]

    def list_ids(
        self,
        kind: Kind,
        limit: int,
        after: str | None,
        newest_first: bool,
        account: str = "",
        statuses: Collection[Status] = (),
    ) -> list[str]:
        """Return up to `limit` ids of a kind by creation time, starting behind the id `after`.

        With an account, only its own jobs. With statuses, only those in one of them now.
        """
        index = job_lists.index_key(kind, account)
        return list_ids(self._redis, index, limit, after, newest_first, statuses)

    def live_ids(self) -> set[str]:
        """Return the ids of all jobs that have not ended."""
        members: Any = self._redis.smembers(LIVE_KEY)
        return {job_id.decode() for job_id in members}

    def claim(self, job_id: str, owner: str) -> int:
        """Take a job for a new attempt.

        Returns:
            The attempt number, the token for every later write; 0 if the job has ended, was
            cancelled or is gone: a void ticket.
        """
        return int(self._run(self._claim, job_id, owner, time.time()))

    def progress(self, job_id: str, attempt: int, phase: str, step: int, of: int) -> Progress:
        """Record one step, if the attempt still owns the job."""
        return self.report(job_id, attempt, "progress", {"phase": phase, "step": step, "of": of})

    def report(self, job_id: str, attempt: int, event: str, data: dict[str, Any]) -> Progress:
        """Append an event, if the attempt still owns the job.

        `phase`, `step` and `of` in `data` also become the record's. With event "" this is a pure
        check of ownership and cancel, and appends nothing.
        """
        shown = [data.get(name, "") for name in ("phase", "step", "of")]
        answer = self._run(self._progress, job_id, attempt, event, json.dumps(data), *shown)
        return Progress(answer.decode())

    def release(self, job_id: str, attempt: int) -> bool:
        """Put a job back to `queued`, for another attempt; False if it was not ours."""
        return bool(self._run(self._release, job_id, attempt))

    def finish(
        self,
        job_id: str,
        attempt: int,
        status: Status,
        *,
        result: JobResult | None = None,
        error: ErrorInfo | None = None,
    ) -> bool:
        """End a job; False if it was not ours. Repeating an accepted finish answers True."""
        assert status.is_terminal
        return bool(
            self._run(
                self._finish,
                job_id,
                attempt,
                status,
                time.time(),
                result.model_dump_json() if result else "",
                error.model_dump_json() if error else "",
            )
        )

    def abandon(self, job_id: str, attempt: int, error: ErrorInfo) -> bool:
        """Fail a job that nobody will try again; False if it has ended or was claimed since.

        Args:
            job_id: which job.
            attempt: its last attempt, as the caller read it; 0 if it was never claimed.
            error: why.
        """
        fields = (attempt, time.time(), error.model_dump_json())
        return bool(self._run(self._abandon, job_id, *fields))

    def cancel(self, job_id: str) -> Status | None:
        """Ask for a job to stop.

        Returns:
            `cancelled` if it was queued, `in_progress` if its slot has to confirm, the final
            state if it has ended, None if there is no such job.
        """
        answer = self._run(self._cancel, job_id, time.time())
        return Status(answer.decode()) if answer else None

    def delete(self, job_id: str, *, is_expired: bool = False) -> None:
        """Forget an ended job: record, event log and index entries; its id stays taken a while.

        Of one that has expired it is remembered whose it was.
        """
        known: Any = self._redis.hmget(record_key(job_id), "account", "kind")
        account, kind_of = (value or b"" for value in known)
        trace = b":".join((kind_of, account)) if is_expired else b""
        seconds = EXPIRED_SECONDS if is_expired else GONE_SECONDS
        with self._redis.pipeline() as pipeline:
            pipeline.delete(record_key(job_id), events_key(job_id))
            pipeline.set(gone_key(job_id), trace, ex=seconds)
            pipeline.publish(ENDS_CHANNEL, job_id)
            keep(pipeline, account.decode(), job_id, 0)
            for live in {LIVE_KEY, live_key(account.decode())}:
                pipeline.srem(live, job_id)
            job_lists.remove(pipeline, QUEUES, account.decode(), job_id)
            pipeline.execute()

    def has_expired(self, job_id: str, kind: Kind, account: str) -> bool:
        """Return whether there was such a job of an account until its time was over.

        The empty account has the jobs of all.
        """
        trace: Any = self._redis.get(gone_key(job_id))
        expired_kind, is_expired, owner = (trace or b"").decode().partition(":")
        return bool(is_expired) and expired_kind == kind and account in ("", owner)

    def _run(self, script: Any, job_id: str, *args: Any) -> Any:
        keys = [record_key(job_id), events_key(job_id), LIVE_KEY, FIGURES_KEY]
        return script(keys=keys, args=[job_id, MAX_EVENTS, *args])
