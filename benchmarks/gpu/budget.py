"""The time a run may take; what is under way when it is over is left."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager


class OutOfTime(BaseException):
    """The time is over; no `Exception`, so that no compiler takes it for a failure of its own."""


class Budget:
    """A number of seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._end = seconds, time.monotonic() + seconds

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Raise `OutOfTime` in the main thread when the time is over, also at the beginning."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._reason()
        before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, left)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _ring(self, signum: int, frame: object) -> None:
        raise self._reason()

    def _reason(self) -> OutOfTime:
        return OutOfTime(f"the {self._seconds:g} seconds of the whole run were over")
