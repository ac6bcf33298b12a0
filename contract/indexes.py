"""Lists of ids by creation time, one per account and one of all: sorted sets in Redis."""

from __future__ import annotations

from typing import Any

import redis


def list_ids(
    connection: redis.Redis, key: str, limit: int, after: str | None, newest_first: bool
) -> list[str]:
    """Return up to `limit` ids of a sorted set, starting behind the id `after`.

    An `after` that is not in the set has nothing behind it.
    """
    if limit == 0:
        return []  # Redis would read an end of -1 as the last id
    start = 0
    if after is not None:
        rank: Any = (connection.zrevrank if newest_first else connection.zrank)(key, after)
        if rank is None:
            return []
        start = rank + 1
    ids: Any = connection.zrange(key, start, start + limit - 1, desc=newest_first)
    return [found.decode() for found in ids]
