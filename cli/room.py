"""How much may lie on a server at a time, on the way to being captioned."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Times:
    """How often a room was shrunk, and something was given back."""

    shrunk: int = 0
    given_back: int = 0


class Room:
    """Bytes that are taken and given back by many threads.

    Args:
        size: in bytes; what is larger still fits when it is alone.
    """

    def __init__(self, size: int) -> None:
        self._size, self._taken, self._times = size, 0, Times()
        self._change = threading.Condition()

    def take(self, size: int, check: Callable[[], None]) -> Times:
        """Wait until so many bytes fit.

        Args:
            size: in bytes.
            check: called now and then; what it raises ends the wait.

        Returns:
            What had happened by then.
        """
        while True:
            check()
            with self._change:
                if not self._taken or self._taken + size <= self._size:
                    self._taken += size
                    return self._times
                self._change.wait(_LOOK_SECONDS)

    def give_back(self, size: int) -> None:
        """Let others have so many bytes."""
        with self._change:
            self._taken -= size
            self._times = replace(self._times, given_back=self._times.given_back + 1)
            self._change.notify_all()

    def shrink(self, size: int, before: Times) -> bool:
        """Let less be taken at a time, since what was taken was too much.

        Of many that find out together, one does.

        Args:
            size: what the caller has taken.
            before: what had happened by then.

        Returns:
            Whether it may fit another time; not if it was alone.
        """
        with self._change:
            if self._taken > size and before.shrunk == self._times.shrunk:
                self._size = self._taken // 2
                self._times = replace(self._times, shrunk=self._times.shrunk + 1)
            return before != self._times
