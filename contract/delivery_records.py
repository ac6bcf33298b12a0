"""What is kept of a delivery: one event on its way to one URL, and the tries so far."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: how long a delivery and its log are kept after it was made
KEEP_SECONDS = 7 * 86_400
#: seconds to wait after each failed try; after the last one the delivery has failed
BACKOFF_SECONDS = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
_MAX_LOG = 20


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

    def after(self, done: Try, is_last: bool = False) -> Delivery:
        """Return the delivery after one more try, which may be the last one whatever came of it."""
        fields: dict[str, Any] = {"tries": [*self.tries, done][-_MAX_LOG:], "next_at": None}
        if done.error is None:
            return self.model_copy(update=fields | {"status": "delivered"})
        is_refused = self.is_test or done.status_code == 410
        if is_last or is_refused or self.failures >= len(BACKOFF_SECONDS):
            return self.model_copy(update=fields | {"status": "failed"})
        fields["next_at"] = done.at + BACKOFF_SECONDS[self.failures]
        return self.model_copy(update=fields | {"failures": self.failures + 1})


def new_delivery(event: dict[str, str], endpoint_id: str, url: str) -> Delivery:
    """Return a delivery of an event of the outbox that is due at once."""
    # the same for every receiver of an event, and after a crash in between
    event_id = "evt_" + hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()[:24]
    now = time.time()
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
        created_at=now,
        next_at=now,
    )
