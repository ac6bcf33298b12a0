"""rq's job, queue and time limit as a slot uses them: nothing that Redis names is imported."""

from __future__ import annotations

from typing import Protocol

from rq.job import Job
from rq.queue import Queue
from rq.timeouts import BaseDeathPenalty


class Holds(Protocol):
    """Who does a job."""

    def hold(self, job: Job) -> None:
        """Do it."""
        ...


class HeldJob(Job):
    """A job whose function is the slot that took it, whatever Redis says that it is."""

    slot: Holds

    def perform(self) -> None:
        """Let the slot do it."""
        self.slot.hold(self)


class HeldQueue(Queue):
    """A queue of such jobs."""

    job_class = HeldJob


class NoAlarm(BaseDeathPenalty):
    """No SIGALRM: the job's time limit is looked at where the slot waits."""

    def setup_death_penalty(self) -> None:
        """Do nothing."""

    def cancel_death_penalty(self) -> None:
        """Do nothing."""
