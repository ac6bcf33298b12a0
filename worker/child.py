"""One child process that is started again when it ends, but not at once."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0


class Child:
    """A Python process that should be running.

    It gets a process group of its own: a Ctrl-C in a terminal reaches the supervisor alone, which
    then ends its children in order.

    Args:
        name: for the log.
        command: arguments of the interpreter.
        inherited: descriptors that it keeps.
    """

    def __init__(self, name: str, command: Sequence[str], inherited: Sequence[int]) -> None:
        self.name, self._command, self._inherited = name, list(command), tuple(inherited)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        #: least time between two starts
        self.restart_seconds = RESTART_SECONDS

    @property
    def pid(self) -> int | None:
        """Process id, None while it does not run."""
        return self._process.pid if self._process else None

    def is_alive(self) -> bool:
        """Whether it runs; also collects one that has ended."""
        if self._process is not None and self._process.poll() is not None:
            status = self._process.returncode
            log.log(logging.WARNING if status else logging.INFO, "%s ended: %d", self.name, status)
            self._process = None
        return self._process is not None

    def keep_alive(self) -> bool:
        """Start it if it does not run and the last start is long enough ago; True if it did."""
        if self.is_alive() or time.monotonic() < self._started_at + self.restart_seconds:
            return False
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, *self._command],
            stdin=subprocess.DEVNULL,
            pass_fds=self._inherited,
            process_group=0,
        )
        log.info("%s started as process %d", self.name, self._process.pid)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.is_alive():
            assert self._process is not None
            os.kill(self._process.pid, number)


def stop_all(children: Sequence[Child], patience_seconds: float) -> None:
    """Tell children to end, and kill those that have not after a while."""
    for child in children:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    while any(child.is_alive() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in children:
        child.signal(signal.SIGKILL)
        if child._process is not None:
            child._process.wait()
            child._process = None
