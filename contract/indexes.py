"""Lists of ids by creation time: sorted sets in Redis, also one per status where records have one.

An index has all ids of a kind and an account; beside it there is a list of those in each status,
under the same times. They change in the step that changes the record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import redis
from redis.client import Pipeline

#: part of scripts: changes the status of the record KEYS[1] of the id ARGV[1], and its lists
SET_STATUS = """
local function set_status(status, indexes)
  local record = redis.call('HMGET', KEYS[1], 'status', 'created_at')
  for _, index in ipairs(indexes) do
    redis.call('ZREM', index .. '|' .. record[1], ARGV[1])
    redis.call('ZADD', index .. '|' .. status, record[2], ARGV[1])
  end
  redis.call('HSET', KEYS[1], 'status', status)
end
"""


def enlist(pipeline: Pipeline, index: str, item: str, created_at: float, status: str) -> None:
    """Add to a pipeline that a new id is in an index, and in the list of its status."""
    for key in (index, status_key(index, status)):
        pipeline.zadd(key, {item: created_at})


def delist(pipeline: Pipeline, index: str, item: str, statuses: Iterable[str]) -> None:
    """Add to a pipeline that an id is in an index no more, nor in a list of these statuses."""
    for key in (index, *(status_key(index, status) for status in statuses)):
        pipeline.zrem(key, item)


def list_ids(
    connection: redis.Redis,
    index: str,
    limit: int,
    after: str | None,
    newest_first: bool,
    statuses: Collection[str] = (),
) -> list[str]:
    """Return up to `limit` ids of an index, or of some statuses, starting behind the id `after`.

    What `after` is in by now does not matter, as long as it is in the index; else it has nothing
    behind it. The cost grows with `limit`, not with the length of the lists.
    """
    if limit == 0:
        return []
    first, last = ("+inf", "-inf") if newest_first else ("-inf", "+inf")
    cursor: tuple[float, bytes] | None = None
    if after is not None:
        found: Any = connection.zscore(index, after)
        if found is None:
            return []
        cursor, first = (found, after.encode()), f"({found!r}"
    keys = [status_key(index, status) for status in statuses] or [index]
    with connection.pipeline() as pipeline:  # one moment: no id is in two lists, or in none
        for key in keys:
            pipeline.zrange(key, first, last, newest_first, True, byscore=True, offset=0, num=limit)
            if cursor is not None:  # those of the same time
                pipeline.zrange(key, cursor[0], cursor[0], withscores=True, byscore=True)
        pairs = {(score, item) for page in pipeline.execute() for item, score in page}
    ordered = sorted(pairs, reverse=newest_first)
    if cursor is not None:
        ordered = [pair for pair in ordered if pair != cursor and (pair < cursor) == newest_first]
    return [item.decode() for _, item in ordered[:limit]]


def status_key(index: str, status: str) -> str:
    """Return the Redis key of the ids of an index that are in a state."""
    return f"{index}|{status}"
