"""What a warm engine tells the rest of the house through Redis.

Capabilities stay until the next engine overwrites them, so that requests can be checked while
workers restart; the beat expires, so that readiness means an engine that is warm now. It carries
how much memory the engine takes.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import redis
from pydantic import BaseModel, ValidationError

from contract.requests import Capabilities

BEAT_TTL_SECONDS = 15
_CAPABILITIES = "univigu:capabilities"
_BEATS = "univigu:engine:"


class EngineMemory(BaseModel):
    """Bytes on the device that an engine computes on: a GPU, or the machine without one."""

    used: int
    #: the most that was used so far
    peak: int
    #: what jobs may take together
    budget: int


def publish_capabilities(connection: redis.Redis, capabilities: Capabilities) -> None:
    """Store what the loaded checkpoint can do."""
    connection.set(_CAPABILITIES, capabilities.model_dump_json())


def read_capabilities(connection: redis.Redis) -> Capabilities | None:
    """Return what the last warm engine published; None before the first one."""
    value: Any = connection.get(_CAPABILITIES)
    return Capabilities.model_validate_json(value, strict=False) if value else None


def beat(connection: redis.Redis, worker: str, memory: EngineMemory | None = None) -> None:
    """Say that this worker's engine is warm, and how full; repeat every few seconds."""
    value = memory.model_dump_json() if memory else ""
    connection.set(_BEATS + worker, value, ex=BEAT_TTL_SECONDS)


def retract(connection: redis.Redis, worker: str) -> None:
    """Say at once that this worker's engine is not warm any more."""
    connection.delete(_BEATS + worker)


def warm_workers(connection: redis.Redis) -> int:
    """Return how many workers have a warm engine now."""
    return len(_beats(connection))


def read_memory(connection: redis.Redis) -> dict[str, EngineMemory]:
    """Return the memory of each warm engine that has told of it, by worker."""
    keys = _beats(connection)
    values: Any = connection.mget(keys) if keys else []
    found = {}
    for key, value in zip(keys, values, strict=True):
        worker = key.decode().removeprefix(_BEATS)
        with suppress(ValidationError):  # a worker of an older release tells nothing of it
            found[worker] = EngineMemory.model_validate_json(value or b"")
    return found


def _beats(connection: redis.Redis) -> list[bytes]:
    return sorted(connection.scan_iter(match=_BEATS + "*", count=100))
