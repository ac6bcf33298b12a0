"""The engine as its supervisor sees it: loading, warm, or silent for too long."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Sequence

from contract.engine_status import EngineMemory
from contract.requests import Capabilities
from worker.child import RESTART_SECONDS, Child
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

_READ_BYTES = 1 << 16
#: the pause between two starts of an engine that does not get warm doubles up to this
_LONGEST_PAUSE_SECONDS = 30.0


class EngineChild:
    """Runs the engine and listens to its pipe.

    Args:
        command: arguments of the interpreter; the pipe's descriptor is added.
        inherited: descriptors that it keeps.
        settings: how long it may be silent.
    """

    def __init__(
        self, command: Sequence[str], inherited: Sequence[int], settings: WorkerSettings
    ) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._settings = settings
        self._rest = b""
        self._heard_at = 0.0
        #: what the warm engine can do; None while it loads
        self.capabilities: Capabilities | None = None
        #: how much it takes, where it says so
        self.memory: EngineMemory | None = None
        self.child = Child("engine", [*command, str(self._writer)], [*inherited, self._writer])

    def fileno(self) -> int:
        """Return what `select` listens to."""
        return self._reader

    def tend(self) -> None:
        """Hear the engine, kill it when it hangs, start it when it is not there."""
        self._listen()
        if self.child.is_alive() and time.monotonic() > self._heard_at + self._patience():
            log.error("the engine has been silent for %g s: killed", self._patience())
            self.child.signal(signal.SIGKILL)
            self._heard_at = time.monotonic()  # it takes a moment to die
        if not self.child.is_alive():
            self._listen()  # the rest of what a dead one had said must not greet for the next
            self.capabilities, self.memory, self._rest = None, None, b""
            if self.child.keep_alive():
                self._heard_at = time.monotonic()
                self.child.restart_seconds = min(
                    2 * self.child.restart_seconds, _LONGEST_PAUSE_SECONDS
                )

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._reader)
        os.close(self._writer)

    def _patience(self) -> float:
        if self.capabilities is None:
            return self._settings.engine_start_seconds
        return self._settings.engine_silence_seconds

    def _listen(self) -> None:
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return
        self._heard_at = time.monotonic()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        if self.capabilities is None:
            self.capabilities = Capabilities.model_validate_json(line, strict=False)
            self.child.restart_seconds = RESTART_SECONDS
        elif line:
            self.memory = EngineMemory.model_validate_json(line)
