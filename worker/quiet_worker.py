"""An rq worker that speaks to Redis where a job needs it, and leaves out what nothing here reads.

Stock rq makes some twenty round trips per job. Left out are pub/sub commands and `rq suspend` (a
supervisor says when a slot stops), jobs that depend on others, results and counts of rq's own, and
beats and states that would repeat what was written just before.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis
from redis.client import Pipeline
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

from worker.held_job import HeldJob, HeldQueue, NoAlarm

#: rq forgets a silent worker after this; it must exceed the time between its heartbeats
_WORKER_TTL_SECONDS = 30


class QuietWorker(BaseWorker):
    """Works on one queue, in this process.

    Args:
        queue: the one queue it serves; on two, rq loses a job whose worker dies early.
        connection: Redis.
        name: its own, for good.
        lease_seconds: how long a job is its own without a beat.
        beat_seconds: time between beats.
    """

    job_class, queue_class, death_penalty_class = HeldJob, HeldQueue, NoAlarm
    log_result_lifespan = False

    def __init__(
        self,
        queue: str,
        connection: redis.Redis,
        name: str,
        lease_seconds: int,
        beat_seconds: int,
    ) -> None:
        self._lease_seconds, self._silence = lease_seconds, timedelta(seconds=beat_seconds)
        super().__init__(
            [queue],
            name=name,
            connection=connection,
            serializer=JSONSerializer,
            job_monitoring_interval=beat_seconds,
            worker_ttl=_WORKER_TTL_SECONDS,
            log_job_description=False,
        )

    def get_heartbeat_ttl(self, job: Job) -> int:
        """Return the lease in seconds."""
        return self._lease_seconds

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that the worker lives: together with other things, or when it is time for it."""
        if pipeline is None and self.last_heartbeat and now() < self.last_heartbeat + self._silence:
            return
        super().heartbeat(timeout, pipeline)

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Say what the worker does, unless that is known."""
        if pipeline is not None or state != self._state:
            super().set_state(state, pipeline)

    def run_maintenance_tasks(self) -> None:
        """Leave it to the janitor."""
        self.last_cleaned_at = now()  # type: ignore[assignment]  # rq gives it no type

    def check_for_suspension(self, burst: bool) -> None:
        """Never pause."""

    def subscribe(self) -> None:
        """Take no commands over Redis: a cancel is a transition of the record."""

    def unsubscribe(self) -> None:
        """Nothing was subscribed."""

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:
        """Extend no lease: there are no callbacks that could still need it."""
        job.ended_at = now()

    def handle_job_success(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry
    ) -> None:
        """Put the ticket among those that are finished, for a while."""
        seconds: Any = job.get_result_ttl(self.default_result_ttl)
        with self.connection.pipeline() as pipeline:
            job.set_status(JobStatus.FINISHED, pipeline=pipeline)
            job.finished_job_registry.add(job, seconds, pipeline)
            pipeline.expire(job.key, seconds)
            self.cleanup_execution(job, pipeline)
            self.set_state(WorkerStatus.IDLE, pipeline)
            pipeline.execute()
