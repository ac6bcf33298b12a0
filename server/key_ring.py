"""The keys that this process goes by: those of its settings, and a fresh copy of those in Redis.

The copy is at most `FRESH_SECONDS` old: a revoked key works no longer than that, and a request
costs no round trip of its own.
"""

from __future__ import annotations

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
        # every key of the settings is an account known by its hash; a look at hashes tells nobody
        # how close a guess has come
        self._configured: dict[str, Caller] = {}
        for configured in settings.api_keys:
            digest = digest_of(configured.get_secret_value().encode())
            self._configured[digest] = Caller(digest[:32])
        self._is_required = bool(self._configured) or settings.require_keys
        self._keys: list[ApiKey] = []
        self._by_digest: dict[str, ApiKey] = {}
        self._by_id: dict[str, ApiKey] = {}
        self._read_at = float("-inf")
        self._noted_at: dict[str, float] = {}

    def recall(self, token: bytes | None) -> Caller | None:
        """Return who has this key, if that takes no look at Redis; None says nothing."""
        digest = _digest(token)
        if digest in self._configured:
            return self._configured[digest]
        if not self._is_fresh(FRESH_SECONDS):
            return None
        if self._is_open():
            return ANYBODY
        key = self._by_digest.get(digest)
        if key is None or key.revoked_at is not None or self._is_note_due(key.id):
            return None
        return Caller(key.id, key.scopes)

    def identify(self, token: bytes | None) -> Caller | None:
        """Return who has this key; None if nobody does, or no longer.

        Everybody is `ANYBODY` while no key is asked for: none is configured, and none was ever
        made.
        """
        digest = _digest(token)
        if digest in self._configured:
            return self._configured[digest]
        self._refresh()
        if self._is_open():
            return ANYBODY
        if token is not None and digest not in self._by_digest:
            self._refresh(max_age=0.0)  # it may be a new one
        key = self._by_digest.get(digest)
        if key is None or key.revoked_at is not None:
            return None
        self._note(key.id)
        return Caller(key.id, key.scopes)

    def is_revoked(self, account: str) -> bool:
        """Return whether an account's key was taken back."""
        if not is_key_id(account):
            return False
        self._refresh()
        key = self._by_id.get(account)
        return key is not None and key.revoked_at is not None

    def limit(self, account: str, name: str, default: int | None) -> int | None:
        """Return a limit of an account's key, named as in `ApiKey`; else the server's default."""
        if is_key_id(account):
            self._refresh()  # a batch asks for its limits without a request
        own: int | None = getattr(self._by_id.get(account), name, None)
        return default if own is None else own

    def _is_open(self) -> bool:
        return not self._is_required and not self._keys

    def _is_fresh(self, max_age: float) -> bool:
        return time.monotonic() - self._read_at < max_age

    def _refresh(self, max_age: float = FRESH_SECONDS) -> None:
        if self._is_fresh(max_age):
            return
        now = time.monotonic()
        self._keys = self._store.all()
        self._by_digest = {key.digest: key for key in self._keys}
        self._by_id = {key.id: key for key in self._keys}
        self._read_at = now

    def _is_note_due(self, key_id: str) -> bool:
        return time.monotonic() - self._noted_at.get(key_id, float("-inf")) >= _NOTE_SECONDS

    def _note(self, key_id: str) -> None:
        if self._is_note_due(key_id):
            self._noted_at[key_id] = time.monotonic()
            self._store.note_use(key_id)


def _digest(token: bytes | None) -> str:
    """Return the hash of what a client sent; empty, and nobody's, where it sent nothing."""
    return digest_of(token) if token is not None else ""
