"""API keys that are made and revoked while the service runs: shown once, kept as hashes.

Each key is an account of its own, named by the key's id, with its own scopes and limits.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable
from typing import Any

import redis
from pydantic import BaseModel, ConfigDict, Field

KEYS_KEY = "univigu:keys"
USED_KEY = "univigu:keys:used"

AREAS = ("videos", "captions", "files", "batches", "webhooks")
#: operating the service; not part of the scopes that a key has by default
ADMIN = "admin"
_ID_PREFIX = "key_"
DEFAULT_SCOPES = frozenset(f"{area}:{access}" for area in AREAS for access in ("read", "write"))
ALL_SCOPES = DEFAULT_SCOPES | {ADMIN}


class ApiKey(BaseModel):
    """What is kept of a key; times are Unix seconds. A limit of None is the server's own."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str = Field(min_length=1, max_length=64)
    digest: str
    #: its last characters, to tell keys apart
    hint: str
    scopes: frozenset[str]
    created_at: float
    revoked_at: float | None = None
    max_creates_per_minute: int | None = Field(default=None, gt=0)
    max_live_jobs: int | None = Field(default=None, gt=0)
    max_live_batches: int | None = Field(default=None, gt=0)
    max_storage_bytes: int | None = Field(default=None, gt=0)


def digest_of(secret: bytes) -> str:
    """Return the hash by which a key is known; a random key needs no salt."""
    return hashlib.sha256(secret).hexdigest()


def is_key_id(account: str) -> bool:
    """Return whether an account is that of a key that was made, not of one in the settings."""
    return account.startswith(_ID_PREFIX)


def parse_scopes(words: Iterable[str]) -> frozenset[str]:
    """Return the scopes that words such as `videos`, `files:read` and `admin` stand for.

    An area without `:read` or `:write` means both; no word at all means all but `admin`.

    Raises:
        ValueError: naming a word that is no scope, and what is allowed.
    """
    scopes: set[str] = set()
    for word in words:
        meant = {f"{word}:read", f"{word}:write"} if word in AREAS else {word}
        if not meant <= ALL_SCOPES:
            raise ValueError(
                f"scope {word!r} is not known; allowed: {ADMIN}, and {', '.join(AREAS)} "
                "with or without :read or :write"
            )
        scopes |= meant
    return frozenset(scopes) or DEFAULT_SCOPES


class KeyStore:
    """Reads and changes the keys in Redis.

    Args:
        connection: Redis with bytes responses.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection

    def create(self, name: str, scopes: frozenset[str], **limits: int | None) -> tuple[ApiKey, str]:
        """Make a key.

        Args:
            name: for people, 1 to 64 characters.
            scopes: of `ALL_SCOPES`.
            limits: the fields of `ApiKey` that begin with `max_`.

        Returns:
            What is kept, and the key itself, which nobody can read again.

        Raises:
            ValueError: if the name or a limit is not allowed.
        """
        secret = "uvk_" + secrets.token_urlsafe(32)
        key = ApiKey(
            id=_ID_PREFIX + secrets.token_hex(8),
            name=name,
            digest=digest_of(secret.encode()),
            hint=secret[-4:],
            scopes=scopes,
            created_at=time.time(),
            **limits,
        )
        self._write(key)
        return key, secret

    def all(self) -> list[ApiKey]:
        """Return every key ever made, oldest first; revoked ones too."""
        found: Any = self._redis.hvals(KEYS_KEY)
        return sorted(map(ApiKey.model_validate_json, found), key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> bool:
        """Make a key worthless; False if there is none of this id. Repeating it is harmless."""
        found: Any = self._redis.hget(KEYS_KEY, key_id)
        if found is None:
            return False
        key = ApiKey.model_validate_json(found)
        if key.revoked_at is None:
            self._write(key.model_copy(update={"revoked_at": time.time()}))
        return True

    def note_use(self, key_id: str) -> None:
        """Remember that a key was used now."""
        self._redis.hset(USED_KEY, key_id, int(time.time()))

    def last_used(self) -> dict[str, int]:
        """Return when each key was used last, in Unix seconds; unused ones are left out."""
        found: Any = self._redis.hgetall(USED_KEY)
        return {key_id.decode(): int(at) for key_id, at in found.items()}

    def _write(self, key: ApiKey) -> None:
        self._redis.hset(KEYS_KEY, key.id, key.model_dump_json())
