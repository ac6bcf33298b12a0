"""The engine's one thread: takes jobs from slots and advances them, one step of one job at a time.

It knows sockets and turns, and nothing of models: what a step is, the runner says. A slot speaks
once per connection; when its connection becomes readable again, the slot has left and its job ends.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from contract.errors import ErrorCode
from worker.engine.admission import Admission
from worker.engine.policy import FairTurns
from worker.engine.running import RunningJob, Steps
from worker.engine.sharing import SharedStep, take_together
from worker.protocol import MAX_MESSAGE, Done, Failed, Preview, Progress, Start

log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.2


class Runner(Protocol):
    """What turns a request into steps."""

    def start(self, start: Start) -> Steps:
        """Return the steps of a job; nothing is done before the first one is asked for."""
        ...

    def explain(self, error: Exception) -> Failed:
        """Say in the client's words why a step failed."""
        ...


class Loop:
    """Serves until told to stop.

    Args:
        listener: bound and listening SOCK_SEQPACKET socket.
        runner: makes jobs.
        beat: called on every turn; proves that the loop turns.
        admission: says when a job may begin; without one, at once.
    """

    def __init__(
        self,
        listener: socket.socket,
        runner: Runner,
        beat: Callable[[], None],
        admission: Admission | None = None,
    ) -> None:
        listener.setblocking(False)
        self._listener, self._runner, self._beat = listener, runner, beat
        self._admission = admission
        self._policy = FairTurns()
        self._silent: list[socket.socket] = []
        self._jobs: list[RunningJob] = []
        self._stop_at: float | None = None

    def stop(self, patience_seconds: float) -> None:
        """Leave once no job is in flight, or after that time; callable from a signal handler."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + patience_seconds

    def run(self) -> None:
        """Serve."""
        while not self._is_over():
            self._beat()
            self._listen()
            self._let_in()
            self._advance()
            self._leave_if_broken()
        for job in [*self._jobs]:
            self._drop(job)
        for connection in self._silent:
            connection.close()

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return not self._jobs or time.monotonic() > self._stop_at

    def _listen(self) -> None:
        by_connection = {job.connection: job for job in self._jobs}
        heard = [self._listener, *self._silent, *by_connection]
        is_busy = any(job.final is None for job in self._jobs)
        for source in select.select(heard, [], [], 0 if is_busy else _IDLE_SECONDS)[0]:
            if source is self._listener:
                self._accept()
            elif source in by_connection:
                self._drop(by_connection[source])
            else:
                self._silent.remove(source)
                self._take(source)

    def _accept(self) -> None:
        with suppress(OSError):  # the slot may have left already
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            # who has said what it wants already does not wait for another step
            if select.select([connection], [], [], 0)[0]:
                self._take(connection)
            else:
                self._silent.append(connection)

    def _take(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(MAX_MESSAGE)
        except OSError:
            data = b""
        if not data:
            connection.close()
            return
        try:
            start = Start.model_validate_json(data)
        except ValueError as error:
            log.error("refused a message that is no job: %s", error)
            connection.close()
            return
        self._admit(RunningJob(connection, start, self._runner.start(start)))

    def _admit(self, job: RunningJob) -> None:
        same = [other for other in self._jobs if other.start.id == job.start.id]
        if any(other.start.attempt > job.start.attempt for other in same):
            job.close()  # a slot that was paused past its lease comes too late
            return
        for older in same:
            self._drop(older)
        self._jobs.append(job)

    def _let_in(self) -> None:
        if self._admission is not None:
            self._admission.let_in(self._jobs)
            return
        for job in self._jobs:
            job.is_let_in = True

    def _leave_if_broken(self) -> None:
        if self._admission is not None and self._admission.must_restart(self._jobs):
            log.error("memory is lost: the engine starts again")
            self.stop(0)

    def _advance(self) -> None:
        for job in [job for job in self._jobs if job.final is not None]:
            self._end(job)
        unfinished = [job for job in self._jobs if job.final is None and job.is_let_in]
        if not unfinished:
            return
        picked = _with_company(self._policy.pick(unfinished), unfinished)
        started = time.perf_counter()
        self._share(picked)
        for job in picked:
            self._step(job)
        seconds = time.perf_counter() - started
        waits = any(job.kind == "generate" for job in unfinished if job not in picked)
        self._policy.charge(picked, seconds, waits)
        ended = [job for job in picked if job.final is not None]
        if self._admission is not None and any(_ran_out_of_memory(job) for job in ended):
            self._admission.exhausted(unfinished)
        for job in ended:
            self._end(job)

    def _share(self, jobs: list[RunningJob]) -> None:
        steps = [job.shared for job in jobs if job.shared is not None]
        if len(steps) < 2:
            return
        try:
            take_together(steps)
        except Exception as error:  # each tries alone, and fails alone
            log.warning("a step of %d jobs together failed: %s", len(steps), error)

    def _step(self, job: RunningJob) -> None:
        job.spans.begin()
        try:
            reply = next(job.steps)
        except Exception as error:  # the job boundary: one job's failure is not the engine's
            job.final = self._runner.explain(error)
            is_defect = job.final.code == ErrorCode.INTERNAL
            log.error("job %s: %s", job.start.id, error, exc_info=error if is_defect else None)
            return
        job.shared = reply if isinstance(reply, SharedStep) else None
        if isinstance(reply, Done):
            job.final = reply
        elif isinstance(reply, Progress | Preview):
            job.report(reply)

    def _end(self, job: RunningJob) -> None:
        if job.deliver_final():
            self._drop(job)

    def _drop(self, job: RunningJob) -> None:
        self._jobs.remove(job)
        job.close()


def _with_company(job: RunningJob, others: list[RunningJob]) -> list[RunningJob]:
    """Return the job and, where its next step can be shared, those that can take it too."""
    if job.shared is None or job.shared.group is None:
        return [job]
    return [
        other
        for other in others
        if other.shared is not None and other.shared.group == job.shared.group
    ]


def _ran_out_of_memory(job: RunningJob) -> bool:
    return isinstance(job.final, Failed) and job.final.code == ErrorCode.OUT_OF_MEMORY
