"""Deliveries: who is told of which event, how far that has come, and the log of the tries.

Each event of the outbox is turned into deliveries once. A delivery is claimed for a while, so that
one whose sender died is sent again: a receiver gets every event at least once, and tells repeats
by `webhook-id`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import Any, Literal

import redis
from pydantic import BaseModel, ConfigDict, Field

from contract.outbox import OUTBOX_KEY
from contract.webhooks import DEFAULT_ID, Endpoint, EndpointStore

_DUE_KEY = "univigu:deliveries:due"
#: how long a delivery and its log are kept after it was made
KEEP_SECONDS = 7 * 86_400
#: seconds to wait after each failed try; after the last one the delivery has failed
BACKOFF_SECONDS = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
_MAX_LOG = 20

#: outbox entry, now, then for each delivery: id, JSON -> 1 | 0 if it was planned before
_PLAN = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
for i = 5, #ARGV, 2 do
  redis.call('SET', ARGV[4] .. ARGV[i], ARGV[i + 1], 'EX', ARGV[3])
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[i])
  redis.call('ZADD', KEYS[3], ARGV[2], ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[2] - ARGV[3])
return 1
"""

#: now, until, how many -> ids that are the caller's until then
_CLAIM = """
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], ARGV[2], id) end
return ids
"""


class Try(BaseModel):
    """One attempt to deliver."""

    model_config = ConfigDict(frozen=True)

    at: float = Field(description="Unix seconds")
    seconds: float = Field(description="How long it took")
    status_code: int | None = Field(description="What the receiver answered; null if nothing")
    error: str | None = Field(description="Why it counts as failed")


class Delivery(BaseModel):
    """One event on its way to one URL; times are Unix seconds."""

    model_config = ConfigDict(frozen=True)

    id: str
    account: str
    endpoint_id: str
    #: where to; if its endpoint has got another URL since, there
    url: str
    event_type: str
    event_id: str
    #: the body as it is sent
    payload: str
    created_at: float
    status: Literal["pending", "delivered", "failed"] = "pending"
    #: a sample has one try
    is_test: bool = False
    #: failed ones since it was made or asked for again
    failures: int = 0
    next_at: float | None = None
    tries: list[Try] = Field(default_factory=list)

    def after(self, done: Try) -> Delivery:
        """Return the delivery after one more try."""
        fields: dict[str, Any] = {"tries": [*self.tries, done][-_MAX_LOG:], "next_at": None}
        if done.error is None:
            return self.model_copy(update=fields | {"status": "delivered"})
        is_over = self.is_test or done.status_code == 410 or self.failures >= len(BACKOFF_SECONDS)
        if is_over:
            return self.model_copy(update=fields | {"status": "failed"})
        fields["next_at"] = done.at + BACKOFF_SECONDS[self.failures]
        return self.model_copy(update=fields | {"failures": self.failures + 1})


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
                keys=[OUTBOX_KEY, _DUE_KEY, _index_key(event["account"])],
                args=[
                    entry_id,
                    time.time(),
                    KEEP_SECONDS,
                    _key(""),
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
        delivery = _delivery(event, endpoint.id, endpoint.url)
        due_at_once = {"is_test": True, "next_at": delivery.created_at}
        return self._put(delivery.model_copy(update=due_at_once))

    def claim(self, limit: int, lease_seconds: float) -> list[Delivery]:
        """Take up to `limit` deliveries that are due; unfinished ones come back after the lease."""
        now = time.time()
        found: Any = self._claim(keys=[_DUE_KEY], args=[now, now + lease_seconds, limit])
        taken = {delivery_id.decode(): self.get(delivery_id.decode()) for delivery_id in found}
        for delivery_id, delivery in taken.items():
            if delivery is None:  # its time is over
                self._redis.zrem(_DUE_KEY, delivery_id)
        return [delivery for delivery in taken.values() if delivery is not None]

    def record(self, delivery: Delivery, done: Try) -> Delivery:
        """Note a try: the delivery has ended, or is due again later."""
        return self._put(delivery.after(done))

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
            _delivery(event, endpoint.id, endpoint.url)
            for endpoint in self._endpoints.all(event["account"])
            if event["type"] in endpoint.event_types
        ]
        if event.get("url"):
            made.append(_delivery(event, DEFAULT_ID, event["url"]))
        return made

    def _put(self, delivery: Delivery) -> Delivery:
        with self._redis.pipeline() as pipeline:
            pipeline.set(_key(delivery.id), delivery.model_dump_json(), ex=KEEP_SECONDS)
            pipeline.zadd(_index_key(delivery.account), {delivery.id: delivery.created_at})
            if delivery.next_at is None:
                pipeline.zrem(_DUE_KEY, delivery.id)
            else:
                pipeline.zadd(_DUE_KEY, {delivery.id: delivery.next_at})
            pipeline.execute()
        return delivery


def _delivery(event: dict[str, str], endpoint_id: str, url: str) -> Delivery:
    # the same for every receiver of an event, and after a crash in between
    event_id = "evt_" + hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()[:24]
    payload = {
        "id": event_id,
        "object": "event",
        "created_at": int(float(event["at"])),
        "type": event["type"],
        "data": {"id": event["id"]},
    }
    return Delivery(
        id="whd_" + secrets.token_hex(12),
        account=event["account"],
        endpoint_id=endpoint_id,
        url=url,
        event_type=event["type"],
        event_id=event_id,
        payload=json.dumps(payload, separators=(",", ":")),
        created_at=time.time(),
    )


def _key(delivery_id: str) -> str:
    return f"univigu:delivery:{delivery_id}"


def _index_key(account: str) -> str:
    return f"univigu:deliveries:of:{account}"
