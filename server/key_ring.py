"""The keys that this process goes by: those of its settings, and a fresh copy of those in Redis.

The copy is at most `FRESH_SECONDS` old: a revoked key works no longer than that, and a request
costs no round trip of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass

import redis

from contract.keys import ALL_SCOPES, ApiKey, KeyStore, digest_of, is_key_id
from server.settings import ServerSettings

FRESH_SECONDS = 1.0
#: between two notes that a key is in use
_NOTE_SECONDS = 60.0


@dataclass(frozen=True)
class Caller:
    """Who a request comes from."""

    #: whose jobs it may see; empty is everybody's
    account: str
    scopes: frozenset[str] = ALL_SCOPES


#: where no key is asked for
ANYBODY = Caller("")


class KeyRing:
    """Tells callers by their keys.

    Args:
        connection: Redis with bytes responses.
        settings: of this server.
    """

    def __init__(self, connection: redis.Redis, settings: ServerSettings) -> None:
        self._store = KeyStore(connection)
        # every key of the settings is an account known by its hash
        self._configured = [key.get_secret_value().encode() for key in settings.api_keys]
        self._is_required = bool(self._configured) or settings.require_keys
        self._keys: list[ApiKey] = []
        self._by_digest: dict[str, ApiKey] = {}
        self._by_id: dict[str, ApiKey] = {}
        self._read_at = float("-inf")
        self._noted_at: dict[str, float] = {}

    def is_open(self) -> bool:
        """Whether no key is asked for: none is configured, and none was ever made."""
        if self._is_required:
            return False
        self._refresh()
        return not self._keys

    def identify(self, token: bytes) -> Caller | None:
        """Return who has this key; None if nobody does, or no longer."""
        # every key is compared, so that the time taken says nothing about which one is close
        matches = [hmac.compare_digest(token, key) for key in self._configured]
        if any(matches):
            return Caller(hashlib.sha256(token).hexdigest()[:32])
        digest = digest_of(token.decode("latin-1"))
        self._refresh()
        if digest not in self._by_digest:
            self._refresh(max_age=0.0)  # it may be a new one
        key = self._by_digest.get(digest)
        if key is None or key.revoked_at is not None:
            return None
        self._note(key.id)
        return Caller(key.id, key.scopes)

    def limit(self, account: str, name: str, default: int | None) -> int | None:
        """Return a limit of an account's key, named as in `ApiKey`; else the server's default."""
        if is_key_id(account):
            self._refresh()  # a batch asks for its limits without a request
        own: int | None = getattr(self._by_id.get(account), name, None)
        return default if own is None else own

    def _refresh(self, max_age: float = FRESH_SECONDS) -> None:
        now = time.monotonic()
        if now - self._read_at < max_age:
            return
        self._keys = self._store.all()
        self._by_digest = {key.digest: key for key in self._keys}
        self._by_id = {key.id: key for key in self._keys}
        self._read_at = now

    def _note(self, key_id: str) -> None:
        now = time.monotonic()
        if now - self._noted_at.get(key_id, float("-inf")) >= _NOTE_SECONDS:
            self._noted_at[key_id] = now
            self._store.note_use(key_id)
