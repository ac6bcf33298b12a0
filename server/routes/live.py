"""`/v1/videos/{id}/ws` and the like: a job's events over a WebSocket, with its preview pictures."""

from __future__ import annotations

import logging
from typing import Annotated

import anyio
from fastapi import Query, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from obstore.exceptions import BaseError

from contract.events import Event
from contract.records import JobRecord, Status
from server import routing
from server.events import EVENT_ID, follow, shown
from server.routes import captions, videos
from server.services import InjectedServices, Services

logger = logging.getLogger(__name__)

router = routing.keyed_router("/v1", "live")

#: what a client offers beside its key, which must not be told back
SUBPROTOCOL = "univigu"
#: "try again later": the job was deleted, or the queue is away
_CUT_OFF = 1013

LastSeen = Annotated[
    str, Query(alias="last_event_id", pattern=EVENT_ID, description="Go on behind this id")
]


@router.websocket("/videos/{video_id}/ws")
async def watch_video(
    socket: WebSocket, services: InjectedServices, record: videos.Found, after: LastSeen = "0"
) -> None:
    """Follow a video job."""
    await _watch(socket, services, record, after)


@router.websocket("/captions/{caption_id}/ws")
async def watch_caption(
    socket: WebSocket, services: InjectedServices, record: captions.Found, after: LastSeen = "0"
) -> None:
    """Follow a caption job."""
    await _watch(socket, services, record, after)


async def _watch(socket: WebSocket, services: Services, record: JobRecord, after: str) -> None:
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_left, socket, tasks.cancel_scope)
            await _tell(socket, services, record.id, after)
            tasks.cancel_scope.cancel()
    except* WebSocketDisconnect:
        pass


async def _until_left(socket: WebSocket, following: anyio.CancelScope) -> None:
    """Stop following once the client has closed; what it sends is of no interest."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    following.cancel()


async def _tell(socket: WebSocket, services: Services, job_id: str, after: str) -> None:
    has_ended = False
    async for event in follow(services, job_id, after):
        picture = await run_in_threadpool(_picture, services, event)
        data = shown(event, job_id)
        if event.type == "preview" and not picture:
            data = data | {"frame": None}  # else a binary message follows
        await socket.send_json({"id": event.id or None, "type": event.type, "data": data})
        if picture:
            await socket.send_bytes(picture)
        has_ended = event.type in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
    await socket.close(1000 if has_ended else _CUT_OFF)


def _picture(services: Services, event: Event) -> bytes | None:
    key = event.data["frame"] if event.type == "preview" else None
    try:
        return services.artifacts.get(key) if key else None
    except (BaseError, FileNotFoundError) as error:
        logger.warning("no picture %s: %r", key, error)
        return None
