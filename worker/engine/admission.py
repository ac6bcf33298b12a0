"""Lets a job begin once the memory that it needs is there, and learns when it was not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from contract.errors import ErrorCode
from model.memory import Need
from worker.engine.running import RunningJob
from worker.protocol import Failed, Start

log = logging.getLogger(__name__)

#: jobs of the other kind that may begin before a job that waits for memory
_MAX_OVERTAKEN = 32


class Admission:
    """Shares out the memory of the device.

    One step runs at a time: what all jobs hold adds up, what a step needs on top does not.

    Args:
        budget: bytes for all jobs together.
        need_of: what a job takes.
        release: gives back what is kept beyond the jobs; says whether nothing is left over.
    """

    def __init__(
        self, budget: int, need_of: Callable[[Start], Need], release: Callable[[], bool]
    ) -> None:
        #: bytes for all jobs together; less once they were too much
        self.budget = budget
        self._need_of, self._release = need_of, release
        self._is_exhausted = False

    def let_in(self, jobs: Sequence[RunningJob]) -> None:
        """Mark the jobs that may begin, of all in flight in the order of their arrival.

        The jobs of a kind begin in that order; those of the other kind may overtake, not for ever.
        What would not fit alone is refused.
        """
        waiting: list[RunningJob] = []
        for job in jobs:
            if job.is_let_in or job.final is not None:
                continue
            if self._bytes([job]) > self.budget:
                job.final = self._refusal(job)
            elif any(o.kind == job.kind or o.overtaken >= _MAX_OVERTAKEN for o in waiting):
                waiting.append(job)
            elif self._bytes([job, *(o for o in jobs if o.is_let_in)]) > self.budget:
                waiting.append(job)
            else:
                job.is_let_in = True
                for other in waiting:
                    other.overtaken += 1

    def exhausted(self, jobs: Sequence[RunningJob]) -> None:
        """Learn that these jobs together were too much, and free what can be freed.

        A job that failed alone is refused from now on, and so is every larger one.
        """
        budget = self._bytes([job for job in jobs if job.is_let_in]) - 1
        self.budget = min(self.budget, budget)
        log.error("out of memory: at most %d MB for jobs from now on", self.budget >> 20)
        self._is_exhausted = True
        self._release()

    def must_restart(self, jobs: Sequence[RunningJob]) -> bool:
        """Whether memory is lost that only a new process gets back; not while jobs run."""
        if not self._is_exhausted or jobs:
            return False
        self._is_exhausted = False
        return not self._release()

    def _bytes(self, jobs: Sequence[RunningJob]) -> int:
        needs = [self._need_of(job.start) for job in jobs]
        held = sum(need.held for need in needs)
        return held + max((need.step for need in needs), default=0)

    def _refusal(self, job: RunningJob) -> Failed:
        message = (
            f"this size and length needs about {self._bytes([job]) >> 20} MB; the engine has "
            f"{self.budget >> 20} MB for jobs"
        )
        return Failed(code=ErrorCode.OUT_OF_MEMORY, message=message)
