"""`/healthz` and `/readyz`: whether the process lives, and whether it can do work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import obstore.exceptions
import redis
from fastapi import APIRouter
from pydantic import BaseModel, Field

from contract.engine_status import warm_workers
from server.errors import Unavailable
from server.services import InjectedServices

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


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
def readyz(services: InjectedServices) -> Ready:
    """Say that a job would be done now: queue, artifact store and a warm engine."""
    engines = 0

    def count_engines() -> None:
        nonlocal engines
        engines = warm_workers(services.redis)

    missing = []
    if not _answers("Redis", count_engines, redis.RedisError):
        missing.append("Redis does not answer")
    elif engines == 0:
        missing.append("no engine is warm")
    if not _answers("artifact store", services.artifacts.check, obstore.exceptions.BaseError):
        missing.append("the artifact store does not answer")
    if missing:
        raise Unavailable("not ready: " + "; ".join(missing), code="not_ready")
    return Ready(warm_engines=engines)


def _answers(name: str, ask: Callable[[], None], failure: type[Exception]) -> bool:
    try:
        ask()
    except failure as error:
        logger.warning("%s does not answer: %r", name, error)
        return False
    return True
