"""`/healthz` and `/readyz`: whether the process lives, and whether it can do work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, TypeVar

import anyio
import anyio.to_thread
import obstore.exceptions
import redis
from pydantic import BaseModel, Field

from contract.engine_status import warm_workers
from server import routing
from server.errors import Unavailable
from server.services import InjectedServices, Services

logger = logging.getLogger(__name__)

router = routing.open_router("health")

#: each part behind the server has this long to answer; probes give up soon after
PROBE_SECONDS = 2

Answer = TypeVar("Answer")


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Everything that a job needs is there."""

    status: Literal["ready"] = "ready"
    warm_engines: int = Field(description="Workers whose engine is warm")


@router.get("/healthz")
def healthz() -> Alive:
    """Say that the process lives; nothing else is looked at."""
    return Alive()


@router.get("/readyz")
async def readyz(services: InjectedServices) -> Ready:
    """Say that a job would be done now: queue, artifact store and a warm engine."""
    missing = []
    engines = await _asked("Redis", lambda: warm_workers(services.redis))
    if engines is None:
        missing.append("Redis does not answer")
    elif engines == 0:
        missing.append("no engine is warm")
    if not await _asked("artifact store", lambda: _store_answers(services)):
        missing.append("the artifact store does not answer")
    if missing:
        raise Unavailable("not ready: " + "; ".join(missing), code="not_ready")
    return Ready(warm_engines=engines or 0)


def _store_answers(services: Services) -> bool:
    services.artifacts.check()
    return True


async def _asked(name: str, ask: Callable[[], Answer]) -> Answer | None:
    try:
        with anyio.fail_after(PROBE_SECONDS):
            return await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
    except (redis.RedisError, obstore.exceptions.BaseError, OSError) as error:
        logger.warning("%s does not answer: %r", name, error)
        return None
