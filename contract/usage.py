"""How much each account keeps in the artifact store, by the id of what it keeps.

That is jobs, files, parts of files and inputs of batches. Every entry is written in the
step that records what it stands for, and leaves with it, so that the sum needs no counting.
Previews and manifests are left out.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.client import Pipeline

_PREFIX = "univigu:stored:"
TOTALS_KEY = "univigu:stored"

#: part of scripts: sets the bytes of an entry, 0 for none
KEEP = f"""
local function keep(account, item, bytes)
  local key = '{_PREFIX}' .. account
  local before = redis.call('HGET', key, item) or 0
  if bytes == 0 then redis.call('HDEL', key, item) else redis.call('HSET', key, item, bytes) end
  local total = redis.call('HINCRBY', '{TOTALS_KEY}', account, bytes - before)
  if total == 0 then redis.call('HDEL', '{TOTALS_KEY}', account) end
end
"""

_KEEP = KEEP + "keep(ARGV[1], ARGV[2], tonumber(ARGV[3]))"


def keep(pipeline: Pipeline, account: str, item: str, size: int) -> None:
    """Add to a pipeline that an account keeps so many bytes under an id.

    Repeating it changes nothing; 0 bytes end the entry.
    """
    pipeline.eval(_KEEP, 0, account, item, size)


def keep_new(pipeline: Pipeline, account: str, item: str, size: int) -> None:
    """Add to a pipeline that an account keeps so many bytes under an id that it has nothing under.

    No script, so that it can be part of one.
    """
    pipeline.hset(stored_key(account), item, str(size))
    pipeline.hincrby(TOTALS_KEY, account, size)


def stored_key(account: str) -> str:
    """Return the Redis key of the hash of what an account keeps, in bytes by id."""
    return _PREFIX + account


def stored_bytes(connection: redis.Redis, account: str) -> int:
    """Return how many bytes an account keeps."""
    found: Any = connection.hget(TOTALS_KEY, account)
    return int(found or 0)
