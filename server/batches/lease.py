"""A lease on a batch, so that drivers do not do the same work."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import redis
from redis.exceptions import LockError

#: a driver that died is replaced after this
_SECONDS = 30.0
#: a part of the work takes milliseconds
_RENEWED_EVERY = 200


class Lease:
    """Held within a `with` block, unless somebody else holds it.

    It is also an endless iterator: work in many parts takes an element with each, and so renews it.
    """

    def __init__(self, connection: redis.Redis, batch_id: str) -> None:
        self._lock = connection.lock(
            f"univigu:batch-lease:{batch_id}", timeout=_SECONDS, blocking=False
        )
        self._taken = 0
        self.is_held = False

    def __enter__(self) -> Lease:
        """Take it if it is free."""
        self.is_held = bool(self._lock.acquire())
        return self

    def __exit__(self, *_: Any) -> None:
        """Give it back."""
        if self.is_held:
            with suppress(LockError):
                self._lock.release()

    def __iter__(self) -> Lease:
        """Return itself."""
        return self

    def __next__(self) -> None:
        """Renew the lease now and then.

        Raises:
            LockError: if somebody else holds it by now.
        """
        self._taken += 1
        if self._taken % _RENEWED_EVERY == 0:
            self._lock.reacquire()
