"""The rq client: the record and its ticket are written together, and rq's words stay here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import redis
from redis.client import Pipeline
from rq import Queue, Retry
from rq.serializers import JSONSerializer

from contract.jobs import JobStore, gone_key, record_key
from contract.queues import JOB_FUNCTION, MAX_RETRIES, QUEUES, TICKET_OPTIONS, Kind
from contract.requests import JobRequest
from server.errors import Gone, Unavailable


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
    """

    def __init__(self, connection: redis.Redis, jobs: JobStore, max_queued: int) -> None:
        self._redis = connection
        self._jobs = jobs
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

    def check_room(self, kind: Kind) -> None:
        """Refuse work while too much is waiting.

        Raises:
            Unavailable: if the queue is full.
        """
        waiting = self._queues[kind].count
        if waiting >= self._max_queued:
            raise Unavailable(
                f"{waiting} jobs are waiting, the limit is {self._max_queued}",
                code="queue_full",
                retry_after=10,
            )

    def submit(self, job_id: str, request: JobRequest, account: str) -> None:
        """Record a job under an id that nobody else has, and enqueue it, in one transaction."""
        with self._redis.pipeline() as pipeline:
            pipeline.multi()
            self._write(pipeline, job_id, request, account, "")
            pipeline.execute()

    def submit_once(self, job_id: str, request: JobRequest, account: str, fingerprint: str) -> None:
        """Record and enqueue a job unless there is one of this id, whoever else is trying.

        Raises:
            Gone: if the job was deleted; its id is not used again.
        """

        def write(pipeline: Pipeline) -> None:
            if pipeline.exists(gone_key(job_id)):
                raise Gone(f"{job_id} was deleted")
            is_new = not pipeline.exists(record_key(job_id))
            pipeline.multi()
            if is_new:
                self._write(pipeline, job_id, request, account, fingerprint)

        self._redis.transaction(write, record_key(job_id), gone_key(job_id))

    def _write(
        self, pipeline: Pipeline, job_id: str, request: JobRequest, account: str, fingerprint: str
    ) -> None:
        self._jobs.create(job_id, request, pipeline, account=account, fingerprint=fingerprint)
        self._queues[request.kind].enqueue_call(
            JOB_FUNCTION,
            args=(job_id,),
            job_id=job_id,
            retry=Retry(max=MAX_RETRIES),
            pipeline=pipeline,
            **TICKET_OPTIONS,
        )
