"""How many jobs a key may ask for in a minute, and how much it may keep.

Of jobs there is a bucket per account, kept in Redis. It fills evenly, so a client may come in
bursts, but not faster than the limit for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from contract.keys import is_key_id
from contract.usage import TOTALS_KEY, stored_key
from server.errors import TooMany, allowance
from server.services import Services

#: limit per minute -> whether one was taken, what is left, seconds until full, until the next
_TAKE = """
local limit, time = tonumber(ARGV[1]), redis.call('TIME')
local now = time[1] + time[2] / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = tonumber(bucket[1] or limit)
left = math.min(limit, left + math.max(0, now - tonumber(bucket[2] or now)) * limit / 60)
local taken = left >= 1
if taken then left = left - 1 end
redis.call('HSET', KEYS[1], 'left', tostring(left), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 60)
local full, next = (limit - left) * 60 / limit, (1 - left) * 60 / limit
return {taken and 1 or 0, math.floor(left), math.ceil(full), math.ceil(next)}
"""

#: whoever reserves room and dies holds it no longer than this
_RESERVED_SECONDS = 600
#: totals, items that are kept, reservations by their end -> nil, or what an account keeps and what
#: is being stored if an item is too much; a reservation counts until the item is kept, and not
#: against a repeat of itself
_RESERVE = """
local time, item, limit = redis.call('TIME')[1], ARGV[2], tonumber(ARGV[4])
local kept, coming = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0), 0
redis.call('ZREMRANGEBYSCORE', KEYS[3], 0, time)
for _, entry in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  local size, holder = entry:match('^(%d+):(.*)$')
  if holder ~= item and redis.call('HEXISTS', KEYS[2], holder) == 0 then coming = coming + size end
end
local all = kept + coming
if all >= limit or all + ARGV[3] > limit then return {kept, coming} end
if item ~= '' then
  redis.call('ZADD', KEYS[3], time + ARGV[5], ARGV[3] .. ':' .. item)
  redis.call('EXPIRE', KEYS[3], ARGV[5])
end
return nil
"""
#: what is being stored may fail, and leave its room
_COMING_SECONDS = 5


async def limit_rate(request: Request, services: Services, account: str) -> None:
    """Count a create request of the account, and say in headers what is left.

    Raises:
        TooMany: if nothing is left.
    """
    limit = services.settings.max_creates_per_minute
    if is_key_id(account):  # it may have to be read first
        limit = await run_in_threadpool(
            services.key_ring.limit, account, "max_creates_per_minute", limit
        )
    if limit is None:
        return
    taken, left, full, following = await run_in_threadpool(_take, services.redis, account, limit)
    headers = allowance("requests", limit, left) | {"x-ratelimit-reset-requests": f"{full}s"}
    # for the middleware, since a handler may answer with a response of its own
    request.state.headers = headers
    if not taken:
        raise TooMany(
            f"more than {limit} create requests in a minute",
            code="rate_limit_exceeded",
            unit="requests",
            limit=limit,
            left=left,
            retry_after=following,
        )


def check_storage(services: Services, account: str, more: int = 0) -> None:
    """Refuse work of an account that keeps as many bytes as it may, or would with `more`.

    What jobs that run now will make is not foreseen: with it an account may end above its limit.

    Raises:
        TooMany: naming the limit, and whether trying again helps before something is deleted.
    """
    limit = _storage_limit(services, account)
    if limit is not None:
        _reserve(services, account, "", more, limit)


@contextmanager
def storage_for(services: Services, account: str, item: str, size: int) -> Iterator[None]:
    """Reserve room while the block stores an item of `size` bytes and records it by its id.

    Raises:
        TooMany: as of `check_storage`.
    """
    limit = _storage_limit(services, account)
    if limit is None:
        yield
        return
    _reserve(services, account, item, size, limit)
    try:
        yield
    finally:
        with suppress(redis.RedisError):  # then it goes by itself
            services.redis.zrem(_reserved_key(account), f"{size}:{item}")


def _storage_limit(services: Services, account: str) -> int | None:
    default = services.settings.max_storage_bytes_per_key
    return services.key_ring.limit(account, "max_storage_bytes", default)


def _reserve(services: Services, account: str, item: str, size: int, limit: int) -> None:
    """Reserve room for an item, or only look for it where that has no name."""
    refused: Any = services.redis.register_script(_RESERVE)(
        keys=[TOTALS_KEY, stored_key(account), _reserved_key(account)],
        args=[account, item, size, limit, _RESERVED_SECONDS],
    )
    if refused is None:
        return
    kept, coming = refused
    may_pass = kept < limit and kept + size <= limit
    raise TooMany(
        f"{kept} bytes are stored for this key, {coming} are being stored, and {size} would be "
        f"added; the limit is {limit}" + ("" if may_pass else ": delete jobs or files"),
        code="storage_quota_exceeded",
        unit="bytes",
        limit=limit,
        left=max(0, limit - kept - coming),
        retry_after=_COMING_SECONDS if may_pass else None,
    )


def _reserved_key(account: str) -> str:
    return f"univigu:reserved:{account}"


def _take(connection: redis.Redis, account: str, limit: int) -> tuple[int, int, int, int]:
    answer: Any = connection.register_script(_TAKE)(keys=[f"univigu:rate:{account}"], args=[limit])
    taken, left, full, following = answer
    return taken, left, full, following
