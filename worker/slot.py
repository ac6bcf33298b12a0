"""A slot: an rq worker that holds one job of one queue while the engine works on it.

It never forks, never imports what a job names, and takes no truth from rq: rq brings the job and
counts the retries; `contract.jobs` says what becomes of it.
Run by the supervisor as `python -m worker.slot RUN_FOLDER PARENT_PID QUEUE NAME`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import redis
from rq.exceptions import DequeueTimeout, StopRequested
from rq.job import Job
from rq.queue import Queue
from rq.worker import WorkerStatus

from contract.artifacts import ArtifactStore
from contract.jobs import JobStore
from contract.policy import read_policy
from contract.queues import JOB_TIMEOUT_SECONDS
from contract.tracing import tracing
from worker.attempt import Surroundings
from worker.connection import connect
from worker.failures import HandBack, InfrastructureLost, NotMine
from worker.held_job import HeldJob, NoAlarm
from worker.holder import JobHolder
from worker.process import enter_child
from worker.quiet_worker import QuietWorker
from worker.run_folder import RunFolder
from worker.settings import WorkerSettings
from worker.signing import read_signer
from worker.waiting import Drain, Watch

log = logging.getLogger("worker.slot")  # not `__main__`

_DEQUEUE_SECONDS = 1
_RECONNECT_SECONDS = 2


class Slot(QuietWorker):
    """Holds one job at a time.

    Args:
        queue: the one queue it serves; on two, rq loses a job whose worker dies early.
        connection: Redis.
        holder: does the job.
        drain: the wish that this slot should leave.
        settings: lease, beat and grace.
    """

    def __init__(
        self,
        queue: str,
        connection: redis.Redis,
        holder: JobHolder,
        drain: Drain,
        settings: WorkerSettings,
    ) -> None:
        self._holder, self._drain, self._settings = holder, drain, settings
        self._outcome: BaseException | None = None
        name = f"{queue}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        super().__init__(queue, connection, name, settings.lease_seconds, settings.beat_seconds)

    def hold(self, job: Job) -> None:
        """Do a job; what is raised here is, to rq, a failure of the infrastructure."""
        watch = Watch(
            self._drain,
            beat=lambda: self._beat(job),
            beat_seconds=self._settings.beat_seconds,
            timeout_seconds=job.timeout or JOB_TIMEOUT_SECONDS,
        )
        self._holder.hold(job.id, self.name, watch, may_retry=bool(job.retries_left))

    def _beat(self, job: Job) -> None:
        self.maintain_heartbeats(job)
        self._holder.check()

    # From here on: what rq calls.

    def _install_signal_handlers(self) -> None:
        signal.signal(signal.SIGTERM, self.request_stop)

    def request_stop(self, signum: int, frame: Any) -> None:
        """Leave after the job, or after the grace; never raises out of the handler."""
        self._stop_requested = True
        self._drain.request(self._settings.grace_seconds)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Return the next job; None once the slot should leave."""
        self.set_state(WorkerStatus.IDLE)
        is_lost = False
        while not self._stop_requested:
            try:
                self.heartbeat()
                taken = self._dequeue()
            except redis.exceptions.ConnectionError as error:
                if not is_lost:
                    log.error("no Redis: %s", error)
                is_lost = True
                time.sleep(_RECONNECT_SECONDS)
            except DequeueTimeout:
                is_lost = False
            else:
                if not self._stop_requested:
                    return taken
                self._put_back(*taken)
        return None

    def _dequeue(self) -> tuple[Job, Queue]:
        taken = self.queue_class.dequeue_any(
            self.queues,
            _DEQUEUE_SECONDS,
            connection=self.connection,
            job_class=self.job_class,
            serializer=self.serializer,
            death_penalty_class=NoAlarm,
        )
        assert taken is not None, "with a time-out rq raises when nothing came"
        return taken

    def _put_back(self, job: Job, queue: Queue) -> None:
        """Return a job that arrived after the slot was told to leave."""
        with self.connection.pipeline() as pipeline:
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            pipeline.lpush(queue.key, job.id)
            pipeline.execute()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Do a job in this process.

        Raises:
            StopRequested: ends the slot when Redis is lost; its supervisor starts another.
        """
        assert isinstance(job, HeldJob)
        job.slot, self._outcome = self, None
        try:
            self.prepare_execution(job)
            self.perform_job(job, queue)
        except redis.exceptions.ConnectionError as error:
            log.error("job %s: left to its lease, no Redis: %s", job.id, error)
            raise StopRequested from error

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Remember why the job ended; what the holder does not know is a defect and logged."""
        self._outcome = exc_info[1]
        known = HandBack | NotMine | InfrastructureLost | redis.exceptions.ConnectionError
        if not isinstance(self._outcome, known):
            log.error("job %s: unexpected", job.id, exc_info=self._outcome)

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: Any = None, exc_string: str = ""
    ) -> None:
        """Return the job to its queue: at a retry's cost, or for nothing when handed back."""
        if not isinstance(self._outcome, HandBack | NotMine):
            super().handle_job_failure(job, queue, started_job_registry, exc_string)
            return
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline)
            if isinstance(self._outcome, HandBack):
                queue._enqueue_job(job, pipeline=pipeline, at_front=True)
            pipeline.execute()

    def teardown(self) -> None:
        """Sign off, if Redis is there to hear it."""
        try:
            super().teardown()  # type: ignore[no-untyped-call]
        except redis.exceptions.ConnectionError as error:
            log.error("no Redis to sign off from: %s", error)


def main(run_folder: str, parent_pid: str, queue: str, name: str) -> int:
    """Run one slot; the exit status is 0 if it left because it was told to."""
    run = RunFolder(Path(run_folder))
    settings = run.settings()
    enter_child(int(parent_pid), settings.log_level)
    connection, drain = connect(settings), Drain()
    around = Surroundings(
        JobStore(connection),
        ArtifactStore(settings.artifacts_url),
        run,
        settings,
        read_policy(settings.blocked_words_file),
        read_signer(settings),
    )
    holder = JobHolder(around, run.empty_folder(name))
    try:
        with tracing("univigu-slot"):
            Slot(queue, connection, holder, drain, settings).work(logging_level="WARNING")
    except redis.exceptions.ConnectionError as error:
        log.error("no Redis: %s", error)
    return 0 if drain.requested else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
