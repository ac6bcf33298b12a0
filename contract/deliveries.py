"""Deliveries: who is told of which event, how far that has come, and the log of the tries.

Each event of the outbox is turned into deliveries once. A delivery is claimed for a while, so that
one whose sender died is sent again: a receiver gets every event at least once, and tells repeats
by `webhook-id`. What is due is kept per account, so that one with slow receivers holds up no other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import redis

from contract.delivery_records import KEEP_SECONDS, Delivery, Try, new_delivery
from contract.outbox import OUTBOX_KEY
from contract.webhooks import DEFAULT_ID, Endpoint, EndpointStore

#: accounts that have something due, now or later
_WAITING_KEY = "univigu:deliveries:waiting"
_DUE_PREFIX = "univigu:deliveries:due:"
#: outbox entry, now, how long to keep, prefix of keys, account, then for each delivery: id, JSON
#: -> 1 | 0 if it was planned before
_PLAN = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
for i = 6, #ARGV, 2 do
  redis.call('SET', ARGV[4] .. ARGV[i], ARGV[i + 1], 'EX', ARGV[3])
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[i])
  redis.call('ZADD', KEYS[3], ARGV[2], ARGV[i])
  redis.call('SADD', KEYS[4], ARGV[5])
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[2] - ARGV[3])
return 1
"""

#: now, until, how many, how many of one account, how many each has by now, prefixes
#: -> ids that are the caller's until then
_CLAIM = """
local left, has, taken = tonumber(ARGV[3]), cjson.decode(ARGV[5]), {}
for _, account in ipairs(redis.call('SRANDMEMBER', KEYS[1], 1000)) do
  local due = ARGV[6] .. account
  local room = math.min(left, ARGV[4] - (has[account] or 0))
  if room > 0 then
    local ids = redis.call('ZRANGEBYSCORE', due, '-inf', ARGV[1], 'LIMIT', 0, room)
    for _, id in ipairs(ids) do
      if redis.call('EXISTS', ARGV[7] .. id) == 1 then
        redis.call('ZADD', due, ARGV[2], id)
        table.insert(taken, id)
      else
        redis.call('ZREM', due, id)
      end
    end
    left = left - #ids
  end
  if redis.call('EXISTS', due) == 0 then redis.call('SREM', KEYS[1], account) end
end
return taken
"""


class DeliveryStore:
    """Turns events into deliveries and keeps track of them.

    Args:
        connection: Redis with bytes responses.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis, self._endpoints = connection, EndpointStore(connection)
        self._plan = connection.register_script(_PLAN)
        self._claim = connection.register_script(_CLAIM)

    def plan(self, limit: int = 100) -> int:
        """Turn up to `limit` events into deliveries; returns how many events there were."""
        entries: Any = self._redis.xrange(OUTBOX_KEY, count=limit)
        for entry_id, values in entries:
            event = {name.decode(): value.decode() for name, value in values.items()}
            made = self._deliveries(event)
            self._plan(
                keys=[
                    OUTBOX_KEY,
                    _DUE_PREFIX + event["account"],
                    _index_key(event["account"]),
                    _WAITING_KEY,
                ],
                args=[
                    entry_id,
                    time.time(),
                    KEEP_SECONDS,
                    _key(""),
                    event["account"],
                    *(part for each in made for part in (each.id, each.model_dump_json())),
                ],
            )
        return len(entries)

    def sample(self, endpoint: Endpoint, event_type: str) -> Delivery:
        """Make a delivery that is tried once, to see whether the endpoint takes it."""
        subject = f"{event_type.partition('.')[0]}_test"
        event = {
            "type": event_type,
            "id": subject,
            "account": endpoint.account,
            "at": str(time.time()),
        }
        delivery = new_delivery(event, endpoint.id, endpoint.url)
        return self._put(delivery.model_copy(update={"is_test": True}))

    def claim(
        self,
        limit: int,
        lease_seconds: float,
        *,
        limit_per_account: int | None = None,
        under_way: Mapping[str, int] | None = None,
    ) -> list[Delivery]:
        """Take deliveries that are due; unfinished ones come back after the lease.

        Args:
            limit: how many at most.
            lease_seconds: how long they are the caller's.
            limit_per_account: how many of one account the caller may have; None for any number.
            under_way: how many of each account it has.
        """
        now = time.time()
        shares = (limit_per_account or limit, json.dumps(dict(under_way or {})))
        args = (now, now + lease_seconds, limit, *shares, _DUE_PREFIX, _key(""))
        found: Any = self._claim(keys=[_WAITING_KEY], args=args)
        return [taken for each in found if (taken := self.get(each.decode())) is not None]

    def record(self, delivery: Delivery, done: Try, is_last: bool = False) -> Delivery:
        """Note a try: the delivery has ended, as it has with the last one, or is due later."""
        return self._put(delivery.after(done, is_last))

    def redeliver(self, delivery: Delivery) -> Delivery:
        """Make a delivery due at once, with all its tries before it again."""
        again = {"status": "pending", "failures": 0, "next_at": time.time()}
        return self._put(delivery.model_copy(update=again))

    def get(self, delivery_id: str) -> Delivery | None:
        """Return a delivery, or None if there is none any more."""
        found: Any = self._redis.get(_key(delivery_id))
        return None if found is None else Delivery.model_validate_json(found)

    def page(self, account: str, limit: int, after: str | None = None) -> list[Delivery]:
        """Return up to `limit` deliveries of an account, newest first, behind the id `after`."""
        index, start = _index_key(account), 0
        if after is not None:
            rank: Any = self._redis.zrevrank(index, after)
            if rank is None:
                return []
            start = rank + 1
        ids: Any = self._redis.zrevrange(index, start, start + limit - 1) if limit else []
        found: Any = self._redis.mget([_key(each.decode()) for each in ids]) if ids else []
        return [Delivery.model_validate_json(value) for value in found if value is not None]

    def _deliveries(self, event: dict[str, str]) -> list[Delivery]:
        made = [
            new_delivery(event, endpoint.id, endpoint.url)
            for endpoint in self._endpoints.all(event["account"])
            if event["type"] in endpoint.event_types
        ]
        if event.get("url"):
            made.append(new_delivery(event, DEFAULT_ID, event["url"]))
        return made

    def _put(self, delivery: Delivery) -> Delivery:
        with self._redis.pipeline() as pipeline:
            pipeline.set(_key(delivery.id), delivery.model_dump_json(), ex=KEEP_SECONDS)
            pipeline.zadd(_index_key(delivery.account), {delivery.id: delivery.created_at})
            due_key = _DUE_PREFIX + delivery.account
            if delivery.next_at is None:
                pipeline.zrem(due_key, delivery.id)
            else:
                pipeline.zadd(due_key, {delivery.id: delivery.next_at})
                pipeline.sadd(_WAITING_KEY, delivery.account)
            pipeline.execute()
        return delivery


def _key(delivery_id: str) -> str:
    return f"univigu:delivery:{delivery_id}"


def _index_key(account: str) -> str:
    return f"univigu:deliveries:of:{account}"
