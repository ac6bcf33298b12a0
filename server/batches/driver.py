"""Drives batches: starts their lines a few at a time, and writes down what came of them.

Every server process has a driver; a lease per batch keeps them from doing the same work. It is no
more than that: what a driver does can be done twice, or left half done, without harm. The job of a
line has an id of its own, and `contract.batches` takes and settles each line once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from obstore.exceptions import BaseError

from contract.artifacts import batch_folder
from contract.batch_records import BatchError, BatchRecord, BatchStatus
from contract.records import Status
from server.batches.check import Findings, check_input
from server.batches.lease import Lease
from server.batches.lines import (
    ENDPOINTS,
    ended_line,
    job_id,
    parse_line,
    refused_line,
    start_line,
    unfinished_line,
)
from server.batches.output import end_batch
from server.batches.reading import InputLost, OpenInputs, RawLine, read_lines
from server.errors import Gone, ServerError, TooMany, Unavailable
from server.services import Services

logger = logging.getLogger(__name__)

#: jobs that all batches together may have waiting in a queue: others wait behind no more of them
_MAX_WAITING = 8
#: between two looks at the batches: while there are some, and while there are none
_BUSY_SECONDS, _IDLE_SECONDS = 0.1, 1.0
#: Redis or the store does not answer: whatever it was is tried again
_AWAY = (redis.RedisError, BaseError, OSError)
#: a step that goes on at the end of the process is waited for
_LEAVE_SECONDS = 2.0
#: lines that are refused fill no queue: a batch of them must not keep the others waiting
_STEP_SECONDS = 1.0
#: lines written off at once
_WRITTEN_OFF = 200


@contextmanager
def driving(services: Services) -> Iterator[None]:
    """Drive batches in a thread of this process while the block runs."""
    stop = threading.Event()
    # what it leaves half done at the end of the process is found and gone on with
    thread = threading.Thread(
        target=BatchDriver(services).run, args=(stop,), name="batches", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_LEAVE_SECONDS)


class BatchDriver:
    """Drives the batches that nobody else drives.

    Args:
        services: the connections of this process.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._batches = services.batches
        self._inputs = OpenInputs(services.artifacts)

    def run(self, stop: threading.Event) -> None:
        """Drive until `stop` is set; a lost Redis or store is waited for."""
        pause = _IDLE_SECONDS
        while not stop.wait(pause):
            try:
                pause = _BUSY_SECONDS if self.sweep() else _IDLE_SECONDS
            except _AWAY as error:
                pause = _IDLE_SECONDS
                logger.error("batches wait: %r", error)

    def sweep(self) -> int:
        """Take every batch a little further; returns how many there are."""
        ids = self._batches.live_ids()
        self._inputs.forget_others(ids)
        for batch_id in ids:
            with Lease(self._services.redis, batch_id) as lease:
                if lease.is_held:
                    self._try_to_drive(batch_id, lease, max(1, _MAX_WAITING // len(ids)))
        return len(ids)

    def _try_to_drive(self, batch_id: str, lease: Lease, max_waiting: int) -> None:
        try:
            self.drive(batch_id, lease, max_waiting)
        except _AWAY:
            raise
        except Exception:  # a defect must not keep the other batches waiting
            logger.exception("%s: it could not be driven", batch_id)

    def drive(self, batch_id: str, lease: Lease, max_waiting: int) -> None:
        """Take one batch a step further.

        Args:
            batch_id: which.
            lease: renewed while the step takes long.
            max_waiting: jobs in its queue, of whomever, from which on no line is started.

        Raises:
            LockError: if another driver has taken over meanwhile.
        """
        batch = self._batches.get(batch_id)
        if batch is None:
            return
        if self._services.key_ring.is_revoked(batch.account) and self._batches.cancel(batch_id):
            logger.info("%s is cancelled: its key was revoked", batch_id)
            return
        try:
            if batch.status is BatchStatus.VALIDATING:
                self._check(batch, lease)
            else:
                self._advance(batch, lease, max_waiting)
        except InputLost:
            error = BatchError(code="input_lost", message="the artifact store has lost the input")
            self._fail(batch_id, [error])

    def _check(self, batch: BatchRecord, lease: Lease) -> None:
        findings = Findings()
        steps = check_input(self._services.artifacts, batch, findings)
        for _ in zip(steps, lease, strict=False):
            pass
        if findings.errors:
            logger.info("%s is no batch: %s", batch.id, findings.errors[0].message)
            self._fail(batch.id, findings.errors)
        else:
            self._batches.begin(batch.id, findings.total)

    def _fail(self, batch_id: str, errors: list[BatchError]) -> None:
        self._batches.fail(batch_id, errors)
        self._services.artifacts.delete_all(batch_folder(batch_id))

    def _advance(self, batch: BatchRecord, lease: Lease, max_waiting: int) -> None:
        if batch.status is BatchStatus.IN_PROGRESS and batch.expires_at <= time.time():
            self._batches.finalize(batch.id, "expired")
        elif batch.ending:
            self._leave_undone(batch, lease)
        elif batch.status is BatchStatus.IN_PROGRESS:
            self._start(batch, max_waiting)
        has_live = self._settle(batch)
        now = self._batches.get(batch.id)
        if has_live or now is None or (now.offset < now.size and now.in_progress_at is not None):
            return
        if now.status is BatchStatus.IN_PROGRESS:
            self._batches.finalize(batch.id)
        else:
            end_batch(self._services, now, lease)
            logger.info("%s has ended: %d completed, %d not", batch.id, now.completed, now.failed)

    def _start(self, batch: BatchRecord, max_waiting: int) -> None:
        """Start lines until enough jobs wait, or no more can be started now."""
        waiting = self._services.queue.keys()[ENDPOINTS[batch.endpoint].kind].waiting
        offset = batch.offset
        end = time.monotonic() + _STEP_SECONDS
        while time.monotonic() < end and int(self._services.redis.llen(waiting)) < max_waiting:
            raw = self._inputs.line_at(batch, offset)
            if raw is None or not self._start_line(batch, raw):
                return
            offset = raw.end

    def _start_line(self, batch: BatchRecord, raw: RawLine) -> bool:
        """Start one line; False if that has to wait, or somebody else has taken it."""
        if raw.is_blank:
            return self._batches.advance(batch.id, raw.offset, raw.end)
        line = parse_line(raw.data, batch.endpoint)
        try:
            start_line(self._services, batch, raw.offset, line)
        except _AWAY:
            raise
        except Exception as error:  # as at the boundary of an HTTP request
            if _will_pass(error):
                return False
            refusal = error if isinstance(error, ServerError) else ServerError("a defect, see log")
            if refusal is not error:
                logger.exception("%s: line at %d", batch.id, raw.offset)
            outcome = refused_line(batch, raw.offset, line.custom_id, refusal)
            return self._batches.advance(batch.id, raw.offset, raw.end, errors=[outcome])
        return self._batches.advance(batch.id, raw.offset, raw.end, line.custom_id)

    def _leave_undone(self, batch: BatchRecord, lease: Lease) -> None:
        """Write off the lines of a batch that were not started before its end."""
        if batch.in_progress_at is None:
            return
        offset, outcomes = batch.offset, list[str]()
        for raw, _ in zip(read_lines(self._services.artifacts, batch), lease, strict=False):
            if not raw.is_blank:
                line = parse_line(raw.data, batch.endpoint)
                outcomes.append(unfinished_line(batch, raw.offset, line.custom_id))
            if len(outcomes) == _WRITTEN_OFF or raw.end == batch.size:
                if not self._batches.advance(batch.id, offset, raw.end, errors=outcomes):
                    return
                offset, outcomes = raw.end, []

    def _settle(self, batch: BatchRecord) -> bool:
        """Write down what has come of live lines; returns whether some live on."""
        jobs = self._services.jobs
        live = self._batches.live_lines(batch.id)
        lines = {job_id(batch, offset): (offset, custom_id) for offset, custom_id in live.items()}
        found = {record.id: record for record in jobs.get_many(list(lines))}
        has_live = False
        for job, (offset, custom_id) in lines.items():
            record = found.get(job)
            if record is None:
                outcome = refused_line(batch, offset, custom_id, Gone(f"{job} was deleted"))
            elif record.status.is_terminal:
                outcome = ended_line(self._services, batch, offset, custom_id, record)
            else:
                has_live = True
                if batch.ending:
                    self._services.queue.cancel(record)
                continue
            is_completed = record is not None and record.status is Status.COMPLETED
            self._batches.settle(batch.id, offset, is_completed, outcome)
        return has_live


def _will_pass(error: Exception) -> bool:
    """Return whether the same request may be accepted later."""
    if not isinstance(error, TooMany | Unavailable):
        return False
    return error.headers.get("x-should-retry") != "false"
