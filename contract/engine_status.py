"""What a warm engine tells the rest of the house through Redis.

Capabilities stay until the next engine overwrites them, so that requests can be checked while
workers restart; the beat expires, so that readiness means an engine that is warm now.
"""

from __future__ import annotations

from typing import Any

import redis

from contract.requests import Capabilities

BEAT_TTL_SECONDS = 15
_CAPABILITIES = "univigu:capabilities"
_BEATS = "univigu:engine:"


def publish_capabilities(connection: redis.Redis, capabilities: Capabilities) -> None:
    """Store what the loaded checkpoint can do."""
    connection.set(_CAPABILITIES, capabilities.model_dump_json())


def read_capabilities(connection: redis.Redis) -> Capabilities | None:
    """Return what the last warm engine published; None before the first one."""
    value: Any = connection.get(_CAPABILITIES)
    return Capabilities.model_validate_json(value, strict=False) if value else None


def beat(connection: redis.Redis, worker: str) -> None:
    """Say that this worker's engine is warm; repeat every few seconds."""
    connection.set(_BEATS + worker, 1, ex=BEAT_TTL_SECONDS)


def retract(connection: redis.Redis, worker: str) -> None:
    """Say at once that this worker's engine is not warm any more."""
    connection.delete(_BEATS + worker)


def warm_workers(connection: redis.Redis) -> int:
    """Return how many workers have a warm engine now."""
    return sum(1 for _ in connection.scan_iter(match=_BEATS + "*", count=100))
