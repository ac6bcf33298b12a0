"""The slot's end of the engine's socket: one connection carries one job."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.failures import EngineLost, HandBack
from worker.protocol import MAX_MESSAGE, Reply, Start, decode_reply, new_socket
from worker.waiting import Watch

_RETRY_SECONDS = 0.25
_SEND_SECONDS = 5.0


class EngineLink:
    """A connection to the engine; closing it is what cancels the job there.

    Args:
        path: the engine's socket.
        watch: keeps the lease alive while the engine restarts.
        patience_seconds: how long to wait for an engine that takes connections.

    Raises:
        HandBack: if there is no engine for that long: another worker may have one.
    """

    def __init__(self, path: Path, watch: Watch, patience_seconds: float) -> None:
        self._watch = watch
        give_up_at = time.monotonic() + patience_seconds
        while not self._connect(path):
            if time.monotonic() > give_up_at:
                raise HandBack(f"no engine for {patience_seconds:g} seconds")
            watch.wait(at_most=_RETRY_SECONDS)

    def _connect(self, path: Path) -> bool:
        self._socket = new_socket()
        self._socket.settimeout(_SEND_SECONDS)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            return False
        return True

    def send(self, start: Start) -> None:
        """Hand over the job."""
        try:
            self._socket.send(start.encode())
        except OSError as error:
            raise self._loss("the engine went away before it had the job") from error

    def receive(self) -> Reply:
        """Wait for the engine's next message, keeping the lease alive.

        Raises:
            EngineLost: when the engine is gone.
            HandBack: when it is gone because the whole worker leaves.
        """
        while not self._watch.wait(self._socket):
            pass
        try:
            data = self._socket.recv(MAX_MESSAGE)
        except OSError:
            data = b""
        if not data:
            raise self._loss("the engine stopped while it had the job")
        return decode_reply(data)

    def _loss(self, message: str) -> EngineLost | HandBack:
        # an engine that leaves together with its slot costs the job no retry
        return HandBack(message) if self._watch.is_draining else EngineLost(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
