"""Brings records and rq's lists back together after a process died between two of its writes.

A job that is live in our records must be waiting in a queue, be on its way to a slot, or be held by
one under a lease. One that is nowhere is queued again; one that rq has given up on is failed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.errors import ErrorCode, ErrorInfo
from contract.jobs import LIVE_KEY, JobStore
from contract.queues import Kind
from contract.records import JobRecord
from worker.tickets import enqueue

log = logging.getLogger(__name__)

#: from the pop of a job to its lease; a slot needs milliseconds
_IN_TRANSIT_SECONDS = 5.0
#: between the two sightings of a job that is nowhere
_LOST_SECONDS = 3.0


@dataclass(frozen=True)
class _Snapshot:
    """All places a live job can be in, read in one transaction."""

    live: set[str]
    waiting: set[str]
    in_transit: dict[str, Kind]
    leased: set[str]


class Reconciler:
    """Remembers what looked lost, and acts when it still does.

    Args:
        connection: Redis.
        jobs: the records.
        queues: by kind.
    """

    def __init__(
        self, connection: redis.Redis, jobs: JobStore, queues: Mapping[Kind, Queue]
    ) -> None:
        self._redis, self._jobs, self._queues = connection, jobs, queues
        self._stuck = _Sightings()
        self._lost = _Sightings()

    def sweep(self, now: float) -> None:
        """Look once; `now` is a monotonic time in seconds."""
        seen = self._look()
        stuck = seen.in_transit.keys() - seen.leased
        for job_id in self._stuck.older_than(_IN_TRANSIT_SECONDS, stuck, now):
            self._put_back(job_id, seen)
        lost = seen.live - seen.waiting - seen.in_transit.keys() - seen.leased
        for job_id in self._lost.older_than(_LOST_SECONDS, lost, now):
            self._recover(job_id)

    def _look(self) -> _Snapshot:
        with self._redis.pipeline() as pipeline:
            pipeline.smembers(LIVE_KEY)
            for queue in self._queues.values():
                pipeline.lrange(queue.key, 0, -1)
                pipeline.lrange(queue.intermediate_queue_key, 0, -1)
                pipeline.zrange(queue.started_job_registry.key, 0, -1)
            answers: list[Any] = [_texts(answer) for answer in pipeline.execute()]
        live, *lists = answers
        leased = {entry.partition(":")[0] for entries in lists[2::3] for entry in entries}
        in_transit = {
            job_id: kind
            for kind, job_ids in zip(self._queues, lists[1::3], strict=True)
            for job_id in job_ids
        }
        waiting = {job_id for job_ids in lists[0::3] for job_id in job_ids}
        return _Snapshot(set(live), waiting, in_transit, leased)

    def _put_back(self, job_id: str, seen: _Snapshot) -> None:
        """Take a job out of the hands of a slot that died between its pop and its lease."""
        queue = self._queues[seen.in_transit[job_id]]
        self._redis.lrem(queue.intermediate_queue_key, 1, job_id)
        if job_id in seen.live - seen.waiting:
            self._recover(job_id, at_front=True)

    def _recover(self, job_id: str, at_front: bool = False) -> None:
        record = self._jobs.get(job_id)
        if record is None or record.status.is_terminal:
            self._redis.srem(LIVE_KEY, job_id)
            return
        queue = self._queues[record.kind]
        try:
            job = Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            enqueue(queue, job_id)
        else:
            if job.get_status(refresh=False) == JobStatus.FAILED:
                self._give_up(record)
                return
            queue._enqueue_job(job, at_front=at_front)
        log.warning("job %s: nobody had it, queued again", job_id)

    def _give_up(self, record: JobRecord) -> None:
        message = f"the job's worker was lost {record.attempt} times; it is not tried again"
        error = ErrorInfo(code=ErrorCode.WORKER_LOST, message=message)
        if self._jobs.abandon(record.id, record.attempt, error):
            log.error("job %s: %s", record.id, message)


class _Sightings:
    """When each of a changing set of jobs was first seen in it."""

    def __init__(self) -> None:
        self._first: dict[str, float] = {}

    def older_than(self, seconds: float, present: set[str], now: float) -> list[str]:
        """Note who is present; return those who have been so for `seconds`, and forget them."""
        self._first = {job_id: self._first.get(job_id, now) for job_id in present}
        old = [job_id for job_id, first in self._first.items() if now - first >= seconds]
        for job_id in old:
            del self._first[job_id]
        return old


def _texts(values: Any) -> list[str]:
    return [value.decode() for value in values]
