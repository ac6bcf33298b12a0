"""The rq client: the record and its ticket are written together, and rq's words stay here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from redis.client import Pipeline
from rq import Queue, Retry
from rq.job import Job
from rq.serializers import JSONSerializer

from contract.jobs import JobStore, gone_key, live_key, record_key
from contract.queues import JOB_FUNCTION, MAX_RETRIES, QUEUES, TICKET_OPTIONS, Kind
from contract.records import JobRecord, Status, parse_record
from contract.requests import JobRequest
from contract.tracing import current_traceparent
from server.admission import Admission, Verdict
from server.errors import Gone, TooMany, Unavailable

_tracer = trace.get_tracer("univigu.server")


class Keys(NamedTuple):
    """Where rq keeps the jobs of one queue."""

    #: a list, the next job last
    waiting: str
    #: a sorted set of leases
    running: str


@dataclass(frozen=True)
class Depth:
    """Jobs of one queue."""

    waiting: int
    running: int


class JobQueue:
    """Hands jobs to the workers.

    Args:
        connection: Redis with bytes responses.
        jobs: where records are kept.
        max_queued: tickets that may wait per queue.
        max_live: how many jobs of an account may wait or run; None for any number.
    """

    def __init__(
        self,
        connection: redis.Redis,
        jobs: JobStore,
        max_queued: int,
        max_live: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        self._redis = connection
        self._max_live = max_live
        self._jobs = jobs
        self._admit = Admission(connection)
        self._max_queued = max_queued
        self._queues = {
            kind: Queue(kind, connection=connection, serializer=JSONSerializer) for kind in QUEUES
        }

    def keys(self) -> dict[Kind, Keys]:
        """Return the Redis keys to look at; rq's own counting would also clean up."""
        return {
            kind: Keys(queue.key, queue.started_job_registry.key)
            for kind, queue in self._queues.items()
        }

    def check_room(self, kind: Kind, account: str) -> None:
        """Refuse work while too much is waiting, before anything is stored for it.

        Raises:
            Unavailable: if the queue is full.
            TooMany: if the account has as many live jobs as it may.
        """
        limit = self._max_live(account)
        live: Any = 0 if limit is None else self._redis.scard(live_key(account))
        if limit is not None and live >= limit:
            raise _too_many(live, limit)
        waiting = self._queues[kind].count
        if waiting >= self._max_queued:
            raise self._full(waiting)

    def submit(
        self,
        job_id: str,
        request: JobRequest,
        account: str,
        fingerprint: str = "",
        **fields: Any,
    ) -> JobRecord:
        """Record a job and enqueue it in one step, if there is none of this id, whoever else tries.

        `fields` are further ones of `JobStore.create`.

        Returns:
            The record of this id, of a job made here or before.

        Raises:
            Gone: if the job was deleted; its id is not used again.
            TooMany: if the account has as many live jobs as it may.
            Unavailable: if the queue is full.
        """
        limit, queue = self._max_live(account), self._queues[request.kind]
        keys = [record_key(job_id), gone_key(job_id), live_key(account), queue.key]
        commands = self._redis.pipeline()
        commands.multi()  # rq asks for it; no more than the commands is wanted
        with _sending(request.kind, job_id):
            fields.update(
                account=account, fingerprint=fingerprint, traceparent=current_traceparent()
            )
            record = self._jobs.create(job_id, request, commands, **fields)
            _write_ticket(queue, job_id, commands)
            verdict, rest = self._admit(keys, commands, limit, self._max_queued)
        if verdict is Verdict.KNOWN:
            return parse_record(dict(zip(rest[::2], rest[1::2], strict=True)))
        if verdict is Verdict.GONE:
            raise Gone(f"{job_id} was deleted")
        if verdict is Verdict.TOO_MANY_LIVE:
            assert limit is not None
            raise _too_many(rest, limit)
        if verdict is Verdict.QUEUE_FULL:
            raise self._full(rest)
        return record

    def cancel(self, record: JobRecord) -> None:
        """Ask for a job to stop; the ticket of one that waited goes: nobody waits behind it."""
        if self._jobs.cancel(record.id) is not Status.CANCELLED:
            return
        # a slot that has taken the ticket finds it void, and needs rq's own words to put it away
        if self._queues[record.kind].remove(record.id):
            self._redis.delete(Job.key_for(record.id))

    def _full(self, waiting: int) -> Unavailable:
        return Unavailable(
            f"{waiting} jobs are waiting, the limit is {self._max_queued}",
            code="queue_full",
            retry_after=10,
        )


def _too_many(live: int, limit: int) -> TooMany:
    return TooMany(
        f"{live} jobs of this key wait or run, the limit is {limit}",
        code="too_many_jobs",
        unit="jobs",
        limit=limit,
        retry_after=5,
    )


def _write_ticket(queue: Queue, job_id: str, pipeline: Pipeline) -> None:
    queue.enqueue_call(
        JOB_FUNCTION,
        args=(job_id,),
        job_id=job_id,
        retry=Retry(max=MAX_RETRIES),
        pipeline=pipeline,
        **TICKET_OPTIONS,
    )


def _sending(kind: Kind, job_id: str) -> AbstractContextManager[Any]:
    """Trace a job's way into its queue; its attempts hang below this span."""
    attributes = {
        "messaging.system": "rq",
        "messaging.destination.name": kind,
        "messaging.operation.type": "send",
        "univigu.job.id": job_id,
    }
    return _tracer.start_as_current_span(
        f"send {kind}", kind=SpanKind.PRODUCER, attributes=attributes, record_exception=False
    )
