"""Does many items with a few threads, and stops in good order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

#: how long interrupted items may take to let go, e.g. to cancel their jobs
_STOP_SECONDS = 10.0

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """The command was interrupted while this item was done."""


class Crew:
    """Some threads for one kind of work; one alone works in the caller's own thread.

    Args:
        size: items done at the same time.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._stop = threading.Event()

    def check(self) -> None:
        """Call this from within the work, now and then.

        Raises:
            Stopped: if the command was interrupted.
        """
        if self._stop.is_set():
            raise Stopped

    def results(
        self, items: Sequence[Item], work: Callable[[Item], Result]
    ) -> Generator[Result, None, None]:
        """Yield what the work returns, in the order of the items, at most twice `size` ahead."""
        if self._size == 1:
            yield from map(work, items)
            return
        pool = ThreadPoolExecutor(self._size)
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) == 2 * self._size:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:
            self._stop.set()
            for future in pending:
                future.cancel()
            wait(pending, timeout=_STOP_SECONDS)
            raise
        finally:
            # whoever does not let go fails as soon as the connection is closed
            pool.shutdown(wait=False, cancel_futures=True)
