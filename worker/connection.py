"""How every process of the worker reaches Redis."""

from __future__ import annotations

from typing import Any

import redis

from worker.settings import WorkerSettings


def connect(settings: WorkerSettings, **options: Any) -> redis.Redis:
    """Return a client; it connects with its first command.

    Args:
        settings: say where.
        options: how, as in `redis.Redis`; by default its own patience with a lost connection.

    Raises:
        ValueError: if no address is set.
    """
    if settings.redis_url is None:
        raise ValueError("redis_url is not set: a worker needs the address of its queue")
    return redis.Redis.from_url(settings.redis_url, **options)
