"""The engine's proof of life, in lines down a pipe: its capabilities once warm, then its memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from contract.engine_status import EngineMemory
from contract.requests import Capabilities

_SECONDS = 1.0


class Pulse:
    """The engine's end of the pipe to its supervisor.

    Args:
        descriptor: of an inherited pipe.
        measure: says how much memory the engine takes; None leaves that open.
    """

    def __init__(self, descriptor: int, measure: Callable[[], EngineMemory] | None = None) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._measure = measure
        self._next = 0.0

    def warm(self, capabilities: Capabilities) -> None:
        """Say that the engine is ready, and for what."""
        os.write(self._descriptor, capabilities.model_dump_json().encode() + b"\n")

    def beat(self) -> None:
        """Say that the loop turns, once a second however often it does."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SECONDS
            line = self._measure().model_dump_json() if self._measure else ""
            with suppress(OSError):  # full: it does not read; broken: it is dead, and SIGTERM comes
                os.write(self._descriptor, line.encode() + b"\n")
