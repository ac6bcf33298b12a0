"""Who wants to be told of what: webhook endpoints, their secrets, the Standard Webhooks signature.

Endpoints belong to an account. The one called `default` has no URL: its secret signs what goes to
the `webhook_url` of a single job.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any

import redis
from pydantic import BaseModel, ConfigDict, Field
from redis.client import Pipeline

from contract.addresses import check_public, check_url
from contract.outbox import endpoints_key

EVENT_TYPES = tuple(
    f"{subject}.{end}"
    for subject, ends in {
        "video": ("completed", "failed", "cancelled"),
        "caption": ("completed", "failed", "cancelled"),
        "batch": ("completed", "failed", "expired", "cancelled"),
    }.items()
    for end in ends
)
DEFAULT_ID = "default"
MAX_ENDPOINTS = 16
MAX_URL_CHARACTERS = 2048
#: how long a secret that was replaced may go on signing
OLD_SECRET_SECONDS = 86_400


class Secret(BaseModel):
    """What signatures are made with."""

    model_config = ConfigDict(frozen=True)

    value: str = Field(default_factory=lambda: _new_secret())
    #: Unix seconds; None for the current one
    until: float | None = None


class Endpoint(BaseModel):
    """Where an account wants to be told of which events; times are Unix seconds."""

    model_config = ConfigDict(frozen=True)

    id: str
    account: str
    name: str
    url: str
    event_types: list[str]
    created_at: float
    updated_at: float
    #: the current one first
    secrets: list[Secret] = Field(default_factory=lambda: [Secret()])

    @property
    def secret(self) -> str:
        """The current secret, as receivers are given it."""
        return self.secrets[0].value

    def signature(self, message_id: str, timestamp: int, body: str) -> str:
        """Return the `webhook-signature` of a message: one part for every secret that is valid."""
        valid = [s.value for s in self.secrets if s.until is None or s.until > timestamp]
        return " ".join(_sign(secret, f"{message_id}.{timestamp}.{body}") for secret in valid)


class EndpointStore:
    """Reads and changes the endpoints in Redis.

    Args:
        connection: Redis with bytes responses.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def create(self, account: str, name: str, url: str, event_types: list[str]) -> Endpoint:
        """Register an endpoint.

        Raises:
            ValueError: if the account has `MAX_ENDPOINTS` already.
        """
        now = time.time()
        endpoint = Endpoint(
            id="whe_" + secrets.token_hex(12),
            account=account,
            name=name,
            url=url,
            event_types=event_types,
            created_at=now,
            updated_at=now,
        )

        def write(pipeline: Pipeline) -> None:
            if len(self.all(account)) >= MAX_ENDPOINTS:
                raise ValueError(f"there are {MAX_ENDPOINTS} endpoints, which is the limit")
            pipeline.multi()
            pipeline.hset(endpoints_key(account), endpoint.id, endpoint.model_dump_json())

        self._redis.transaction(write, endpoints_key(account))
        return endpoint

    def get(self, account: str, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint, or None; `default` is always there."""
        found: Any = self._redis.hget(endpoints_key(account), endpoint_id)
        if found is not None:
            return Endpoint.model_validate_json(found)
        return self._make_default(account) if endpoint_id == DEFAULT_ID else None

    def all(self, account: str) -> list[Endpoint]:
        """Return an account's endpoints, newest first, without `default`."""
        found: Any = self._redis.hvals(endpoints_key(account))
        endpoints = [Endpoint.model_validate_json(value) for value in found]
        mine = [endpoint for endpoint in endpoints if endpoint.id != DEFAULT_ID]
        return sorted(mine, key=lambda endpoint: endpoint.created_at, reverse=True)

    def change(self, endpoint: Endpoint, **fields: Any) -> Endpoint:
        """Change some fields of an endpoint as it is by now; one that was deleted stays so."""
        key, changed = endpoints_key(endpoint.account), endpoint

        def write(pipeline: Pipeline) -> None:
            nonlocal changed
            found: Any = pipeline.hget(key, endpoint.id)
            known = endpoint if found is None else Endpoint.model_validate_json(found)
            changed = known.model_copy(update=fields | {"updated_at": time.time()})
            pipeline.multi()
            if found is not None:
                pipeline.hset(key, changed.id, changed.model_dump_json())

        self._redis.transaction(write, key)
        return changed

    def rotate(self, endpoint: Endpoint, keep_seconds: float) -> Endpoint:
        """Give an endpoint a new secret; the one before goes on signing for so long."""
        old = Secret(value=endpoint.secret, until=time.time() + keep_seconds)
        return self.change(endpoint, secrets=[Secret(), old] if keep_seconds else [Secret()])

    def delete(self, endpoint: Endpoint) -> None:
        """Forget an endpoint; what is still to be delivered to it is given up."""
        self._redis.hdel(endpoints_key(endpoint.account), endpoint.id)

    def _make_default(self, account: str) -> Endpoint:
        now = time.time()
        made = Endpoint(
            id=DEFAULT_ID,
            account=account,
            name="webhook_url of single jobs",
            url="",
            event_types=[],
            created_at=now,
            updated_at=now,
        )
        self._redis.hsetnx(endpoints_key(account), DEFAULT_ID, made.model_dump_json())
        found: Any = self._redis.hget(endpoints_key(account), DEFAULT_ID)
        return Endpoint.model_validate_json(found)


def check_webhook_url(url: str, allow_private: bool) -> list[str]:
    """Refuse a URL that no webhook may go to.

    Returns:
        The addresses of its host; a connection goes to one of these.

    Raises:
        ValueError: saying what is wrong and what is allowed.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"{len(url)} characters; allowed: {MAX_URL_CHARACTERS}")
    host, port = check_url(url, allow_private)
    if "#" in url:
        raise ValueError("a fragment is not taken in the URL")
    return check_public(host, port, allow_private)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _sign(secret: str, signed: str) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
