"""`/v1/queue` and `/metrics`: how busy the service is, for clients and for Prometheus."""

from __future__ import annotations

from typing import Literal

from fastapi import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, Field

from contract.engine_status import read_memory
from contract.queues import Kind
from server import routing
from server.outlook import read_load
from server.services import InjectedServices

router = routing.keyed_router("/v1", "queue")
metrics_router = routing.open_router("health")


class QueueState(BaseModel):
    """One queue; captions do not wait for videos."""

    kind: Kind
    waiting: int
    running: int
    mean_seconds: float | None = Field(description="How long jobs ran so far; none has: null")


class QueueList(BaseModel):
    """All queues."""

    object: Literal["list"] = "list"
    data: list[QueueState]


@router.get("/queue")
def list_queues(services: InjectedServices) -> QueueList:
    """Return how many jobs wait and run, of whomever."""
    load = read_load(services)
    return QueueList(
        data=[
            QueueState(
                kind=kind,
                waiting=depth.waiting,
                running=depth.running,
                mean_seconds=load.figures.run[kind].mean,
            )
            for kind, depth in load.depths.items()
        ]
    )


@metrics_router.get("/metrics", response_class=Response)
def metrics(services: InjectedServices) -> Response:
    """Return counters, gauges and histograms as Prometheus reads them."""
    text = services.metrics.render(read_load(services), read_memory(services.redis))
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
