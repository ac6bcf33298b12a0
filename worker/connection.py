"""How every process of the worker reaches Redis."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from worker.settings import WorkerSettings


def connect(settings: WorkerSettings, **options: Any) -> redis.Redis:
    """Return a client; it connects with its first command.

    Args:
        settings: say where.
        options: how, as in `redis.Redis`; by default a command waits about eight seconds for a
            server that restarts, less than a lease.

    Raises:
        ValueError: if no address is set.
    """
    if settings.redis_url is None:
        raise ValueError("redis_url is not set: a worker needs the address of its queue")
    patient = {"retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), 12)}
    return redis.Redis.from_url(settings.redis_url, **(patient | options))
