"""Settings of the HTTP process."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from contract.settings import SharedSettings


class ServerSettings(SharedSettings):
    """Where the server listens, who may call it and how much it takes.

    Raises:
        ValueError: if the host is reachable from outside and no key is asked for.
    """

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Outside loopback it takes `API_KEYS` or `REQUIRE_KEYS`.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="Keys that clients may send as `Authorization: Bearer KEY`, separated by "
        "commas. Empty, and none made by `univigu keys create`: no key is asked for, and the "
        "server listens on loopback only.",
    )
    require_keys: bool = Field(
        default=False,
        description="Ask for a key even before one is made by `univigu keys create`.",
    )
    max_upload_bytes: int = Field(
        default=512 * 2**20, gt=0, description="Largest request body, uploaded video included."
    )
    max_queued_jobs: int = Field(
        default=1000, gt=0, description="Jobs that may wait per queue before 503 `queue_full`."
    )
    max_creates_per_minute: int | None = Field(
        default=None, gt=0, description="Create requests per key before 429. Unset: no limit."
    )
    max_live_jobs_per_key: int | None = Field(
        default=None,
        gt=0,
        description="Jobs of one key that may wait or run before 429. Unset: no limit.",
    )
    max_live_batches_per_key: int = Field(
        default=100, gt=0, description="Batches of one key that have not ended before 429."
    )
    max_storage_bytes_per_key: int | None = Field(
        default=None,
        gt=0,
        description="Bytes of files and jobs that a key may keep before 429. Unset: no limit.",
    )
    graceful_shutdown_seconds: int = Field(
        default=3, ge=0, description="Time that open responses get to end at shutdown."
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(key.strip() for key in value.split(",") if key.strip())
        return value

    @model_validator(mode="after")
    def _need_keys_outside(self) -> Self:
        if not self.api_keys and not self.require_keys and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, which needs at least one "
                "key: set UNIVIGU_API_KEYS, or listen on 127.0.0.1; UNIVIGU_REQUIRE_KEYS=1 leaves "
                "it to the keys of `univigu keys create`"
            )
        return self


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
