"""Claims a job, lets an attempt run, and records how it ended.

Everything that a user caused is recorded and ends here; only what should be tried again is raised.
Every write names the attempt, and is refused by the record when another one has taken over.
"""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path

from contract.artifacts import job_folder
from contract.errors import ErrorInfo
from contract.records import JobRecord, Status
from contract.requests import JobResult
from worker.attempt import Attempt, Surroundings, check_ownership
from worker.failures import (
    Cancelled,
    HandBack,
    InfrastructureLost,
    JobFailed,
    NotMine,
)
from worker.spans import attempt_span, note_end
from worker.waiting import Watch

log = logging.getLogger(__name__)


class JobHolder:
    """Holds one job at a time.

    Args:
        around: what attempts work with.
        folder: this slot's own folder for the files of its jobs.
    """

    def __init__(self, around: Surroundings, folder: Path) -> None:
        self._around, self._folder = around, folder
        self._held: tuple[str, int] | None = None

    def hold(self, job_id: str, owner: str, watch: Watch, may_retry: bool) -> None:
        """Do a job to its end.

        Args:
            job_id: which job.
            owner: the name of this slot.
            watch: keeps the lease alive.
            may_retry: whether a loss of infrastructure may be answered by another attempt.

        Raises:
            InfrastructureLost: the job is queued again and costs a retry.
            HandBack: the job is queued again.
            NotMine: a newer attempt has the job.
        """
        jobs = self._around.jobs
        attempt = jobs.claim(job_id, owner)
        record = jobs.get(job_id)
        if attempt == 0 or record is None:
            log.info("job %s: nothing to do, it has ended", job_id)
            return
        self._held = job_id, attempt
        record = replace(record, attempt=attempt)
        try:
            with attempt_span(record):
                self._finish_or_return(record, watch, may_retry)
        except NotMine:
            if not self._has_ended(job_id):
                raise
            log.info("job %s: attempt %d is over, the job has ended", job_id, attempt)

    def check(self) -> None:
        """Ask the record whether the held job is still ours and wanted.

        Raises:
            Cancelled: when its owner wants it stopped.
            NotMine: when it is no longer ours.
        """
        if self._held is not None:
            job_id, attempt = self._held
            check_ownership(self._around.jobs.report(job_id, attempt, "", {}))

    def _finish_or_return(self, record: JobRecord, watch: Watch, may_retry: bool) -> None:
        started = time.monotonic()
        log.info("job %s: attempt %d starts", record.id, record.attempt)
        status, result, error = Status.COMPLETED, None, None
        try:
            result = self._attempt(record, watch)
        except Cancelled:
            status = Status.CANCELLED
        except JobFailed as failure:
            status, error = Status.FAILED, failure.info
        except HandBack as reason:
            self._give_back(record, reason)
            raise
        except InfrastructureLost as loss:
            if may_retry:
                self._give_back(record, loss)
                raise
            status, error = Status.FAILED, loss.info
        note_end(status, error)
        jobs = self._around.jobs
        if not jobs.finish(record.id, record.attempt, status, result=result, error=error):
            raise NotMine
        _log_end(record, status, time.monotonic() - started, result, error)

    def _attempt(self, record: JobRecord, watch: Watch) -> JobResult:
        workdir = self._folder / f"{record.id}-{record.attempt}"
        workdir.mkdir()
        try:
            return Attempt(self._around, record, watch, workdir).run()
        finally:
            shutil.rmtree(workdir, ignore_errors=True)

    def _give_back(self, record: JobRecord, reason: Exception) -> None:
        log.warning("job %s: attempt %d ends, %s", record.id, record.attempt, reason)
        if not self._around.jobs.release(record.id, record.attempt):
            raise NotMine from reason

    def _has_ended(self, job_id: str) -> bool:
        record = self._around.jobs.get(job_id)
        if record is None:  # deleted while it ran: so is what was uploaded since
            self._around.artifacts.delete_all(job_folder(job_id))
        return record is None or record.status.is_terminal


def _log_end(
    record: JobRecord,
    status: Status,
    seconds: float,
    result: JobResult | None,
    error: ErrorInfo | None,
) -> None:
    memory = result.peak_memory_mb if result else None
    log.info(
        "job %s: attempt %d %s after %.2f s%s%s",
        record.id,
        record.attempt,
        status,
        seconds,
        f", peak memory {memory:.0f} MB" if memory else "",
        f", {error.code}: {error.message}" if error else "",
    )
