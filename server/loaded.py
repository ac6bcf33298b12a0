"""What the loaded checkpoint can do, as every request has to know it."""

from __future__ import annotations

import time

import redis

from contract.engine_status import read_capabilities
from contract.requests import Capabilities
from server.errors import Unavailable

FRESH_SECONDS = 1.0


class LoadedModel:
    """A copy, at most `FRESH_SECONDS` old, of what the last warm engine has published.

    Args:
        connection: Redis with bytes responses.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection
        self._known: Capabilities | None = None
        self._read_at = float("-inf")

    def capabilities(self) -> Capabilities:
        """Return what it can do.

        Raises:
            Unavailable: if no engine has been warm yet.
        """
        now = time.monotonic()
        known = self._known
        if known is None or now - self._read_at >= FRESH_SECONDS:
            known = self._known = read_capabilities(self._redis)
            self._read_at = now
        if known is None:
            raise Unavailable("the model is still loading", code="model_loading", retry_after=5)
        return known
