"""A child process that ends with this one and is started again when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO

from cli.tied_child import tied_command

_RESTART_SECONDS = 1.0


class TiedProcess:
    """A Python module run as a process, in a group of its own: a Ctrl-C reaches its owner alone.

    Args:
        name: for messages.
        arguments: of the interpreter, e.g. `-m server`.
        variables: environment variables on top of this process's own.
        log: where its output goes; by default where this process's goes.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        variables: Mapping[str, str],
        log: IO[bytes] | None = None,
    ) -> None:
        self.name = name
        self._command = tied_command([sys.executable, *arguments])
        self._variables, self._log = variables, log
        self._started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs and before it was started."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start it; from the main thread, with which it will end."""
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            env=os.environ | self._variables,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            process_group=0,
        )

    def keep_alive(self) -> bool:
        """Start it if it does not run, at most once a second; True if it had died."""
        is_dead = self._process is None or self._process.poll() is not None
        if not is_dead or time.monotonic() < self._started_at + _RESTART_SECONDS:
            return False
        has_died = self._process is not None
        self.start()
        return has_died

    def stop(self, patience_seconds: float) -> None:
        """Ask it to end, and kill it if it has not after a while."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
