"""The engine's proof of life: its capabilities once warm, then a byte per second, down a pipe."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from contract.requests import Capabilities

_SECONDS = 1.0


class Pulse:
    """The engine's end of the pipe to its supervisor.

    Args:
        descriptor: of an inherited pipe.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._next = 0.0

    def warm(self, capabilities: Capabilities) -> None:
        """Say that the engine is ready, and for what."""
        os.write(self._descriptor, capabilities.model_dump_json().encode() + b"\n")

    def beat(self) -> None:
        """Say that the loop turns, once a second however often it does."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SECONDS
            with suppress(OSError):  # full: it does not read; broken: it is dead, and SIGTERM comes
                os.write(self._descriptor, b".")
