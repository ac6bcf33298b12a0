"""The event log of a job: a bounded Redis stream that can be replayed from any id.

Events are appended by `contract.jobs` inside the scripts that change the record, so the log and
the state never disagree; this module reads them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import redis

#: where the id of a job is told once it has ended or was deleted; who does not listen misses it
ENDS_CHANNEL = "univigu:ends"
#: events kept per job; the oldest progress events go first
MAX_EVENTS = 2000


@dataclass(frozen=True)
class Event:
    """One entry: its stream id, its type (`queued`, `progress`, ...) and its data."""

    id: str
    type: str
    data: dict[str, Any]


def events_key(job_id: str) -> str:
    """Return the Redis key of a job's stream."""
    return f"univigu:events:{job_id}"


def read_events(
    connection: redis.Redis, job_id: str, after: str = "0", block_ms: int | None = None
) -> list[Event]:
    """Return the events after a stream id, oldest first.

    Args:
        connection: Redis with bytes responses (`decode_responses=False`).
        job_id: whose log.
        after: the last id already seen; "0" replays from the beginning.
        block_ms: wait this long for a first new event; None does not wait.
    """
    answer: Any = connection.xread({events_key(job_id): after}, block=block_ms)
    return [
        Event(entry_id.decode(), fields[b"type"].decode(), json.loads(fields[b"data"]))
        for _, entries in answer
        for entry_id, fields in entries
    ]
