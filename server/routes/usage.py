"""`/v1/usage`: what the caller's key has in use, and how much of each it may have."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from contract.jobs import live_key
from contract.usage import stored_bytes
from server import routing
from server.auth import Account
from server.services import InjectedServices

router = routing.keyed_router("/v1", "queue")


class Usage(BaseModel):
    """Use and limits of one key; a limit of null is none."""

    object: Literal["usage"] = "usage"
    live_jobs: int = Field(description="Jobs that wait or run")
    max_live_jobs: int | None
    live_batches: int = Field(description="Batches that have not ended")
    max_live_batches: int | None
    storage_bytes: int = Field(description="Of uploads, files and results")
    max_storage_bytes: int | None
    max_creates_per_minute: int | None


@router.get("/usage")
def retrieve_usage(services: InjectedServices, account: Account) -> Usage:
    """Return what the key has in use; where there are no keys, all clients together."""
    limit, settings = services.key_ring.limit, services.settings
    live: Any = services.redis.scard(live_key(account))
    return Usage(
        live_jobs=live,
        max_live_jobs=limit(account, "max_live_jobs", settings.max_live_jobs_per_key),
        live_batches=services.batches.count_live(account),
        max_live_batches=limit(account, "max_live_batches", settings.max_live_batches_per_key),
        storage_bytes=stored_bytes(services.redis, account),
        max_storage_bytes=limit(account, "max_storage_bytes", settings.max_storage_bytes_per_key),
        max_creates_per_minute=limit(
            account, "max_creates_per_minute", settings.max_creates_per_minute
        ),
    )
