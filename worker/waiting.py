"""Where a slot waits: for the engine, for a blocking call, for its next beat, for its end.

There is no signal-driven timer and nothing raises out of a handler; every limit is looked at here.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from contract.errors import ErrorCode, ErrorInfo
from worker.failures import HandBack, JobFailed

T = TypeVar("T")


class Drain:
    """The wish that this slot should leave, set by a signal and seen by whoever waits."""

    def __init__(self) -> None:
        self.at: float | None = None
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    @property
    def requested(self) -> bool:
        """Whether the slot should take no further job."""
        return self.at is not None

    def request(self, grace_seconds: float) -> None:
        """Let the running job go on for so long; the first wish counts."""
        if self.at is None:
            self.at = time.monotonic() + grace_seconds
        self.wake()

    def wake(self) -> None:
        """Make a running wait look around; callable from a signal handler or a thread."""
        with suppress(OSError):  # full: it will wake anyway; closed: nobody waits any more
            self._writer.send(b"x")

    def fileno(self) -> int:
        """Return what `select` listens to."""
        return self._reader.fileno()

    def clear(self) -> None:
        """Take the wake-ups that have been seen."""
        self._reader.recv(4096)

    def close(self) -> None:
        """Let go of the sockets."""
        self._reader.close()
        self._writer.close()


class Watch:
    """Keeps one job's lease alive while its slot waits.

    Args:
        drain: the wish to leave.
        beat: renews the lease; called every `beat_seconds`, and raises when the job is not ours.
        beat_seconds: time between beats.
        timeout_seconds: how long the job may take in all.
    """

    def __init__(
        self, drain: Drain, beat: Callable[[], None], beat_seconds: float, timeout_seconds: float
    ) -> None:
        now = time.monotonic()
        self._drain, self._beat, self._beat_seconds = drain, beat, beat_seconds
        self._next_beat = now + beat_seconds
        self._timeout_seconds, self._deadline = timeout_seconds, now + timeout_seconds

    @property
    def is_draining(self) -> bool:
        """Whether the slot has been told to leave."""
        return self._drain.requested

    def wait(self, engine: socket.socket | None = None, at_most: float = 60.0) -> bool:
        """Wait for the engine or `at_most` seconds, and do what is due.

        Returns:
            Whether the engine has something to say.

        Raises:
            HandBack: when the grace of a drain is over.
            JobFailed: `timeout` when the job has run for its time.
        """
        until = min(time.monotonic() + at_most, self._next_beat, self._deadline)
        until = min(until, self._drain.at or until)
        listening: list[socket.socket | Drain] = [self._drain, *([engine] if engine else [])]
        ready = select.select(listening, [], [], max(0.0, until - time.monotonic()))[0]
        if self._drain in ready:
            self._drain.clear()
        self._act(time.monotonic())
        return engine in ready

    def _act(self, now: float) -> None:
        if self._drain.at is not None and now >= self._drain.at:
            raise HandBack("the worker is shutting down")
        if now >= self._deadline:
            limit = f"the job took longer than {self._timeout_seconds:g} seconds"
            raise JobFailed(ErrorInfo(code=ErrorCode.TIMEOUT, message=limit))
        if now >= self._next_beat:
            self._beat()
            self._next_beat = now + self._beat_seconds

    def call(self, function: Callable[[], T]) -> T:
        """Run blocking work in a thread while the lease is kept alive.

        When the wait ends early the thread is left behind; it works on files of its own.
        """
        future: Future[T] = Future()
        threading.Thread(target=self._fulfil, args=(future, function), daemon=True).start()
        while not future.done():
            self.wait()
        return future.result()

    def _fulfil(self, future: Future[T], function: Callable[[], T]) -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # handed to the waiting thread, which raises it
            future.set_exception(error)
        self._drain.wake()
