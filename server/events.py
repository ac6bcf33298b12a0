"""What happens to a job, as clients follow it: replayed from the last id seen, then as it happens.

The log holds what the worker and the queue did; where a waiting job stands is added here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

import redis
from fastapi import Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent

from contract.events import Event, read_events
from contract.records import JobRecord, Status
from server.outlook import outlooks
from server.services import Services

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25

EVENT_ID = r"^\d{1,18}(-\d{1,18})?$"
LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        pattern=EVENT_ID,
        description="The last id already seen; the stream goes on behind it",
    ),
]


async def follow(services: Services, job_id: str, after: str) -> AsyncIterator[Event]:
    """Yield the events behind the id `after` until the job has ended or is deleted.

    An event without an id is no part of the log: it says that a waiting job has moved up. A lost
    Redis ends the stream; the client comes back with the last id it has seen.
    """
    position: int | None = None
    with services.ends.watch(job_id) as watch:
        while True:
            try:
                record, events = await run_in_threadpool(_look, services, job_id, after, position)
            except redis.RedisError as error:
                logger.warning("events of %s end early: %r", job_id, error)
                return
            for event in events:
                after = event.id or after
                position = event.data.get("position") if event.type == "queued" else None
                yield event
            if record is None or record.status.is_terminal:
                return
            await watch.pause(POLL_SECONDS)


async def follow_as_sse(
    services: Services, job_id: str, after: str
) -> AsyncIterator[ServerSentEvent]:
    """Yield the same as server-sent events."""
    async for event in follow(services, job_id, after):
        yield ServerSentEvent(id=event.id or None, event=event.type, data=shown(event, job_id))


def shown(event: Event, job_id: str) -> dict[str, Any]:
    """Return an event's data as clients read them: a picture by where it is served."""
    if event.type != "preview" or event.data["frame"] is None:
        return event.data
    url = f"/v1/videos/{job_id}/content?variant=preview&step={event.data['step']}"
    return event.data | {"frame": url}


def find_preview(services: Services, job_id: str, step: int | None) -> str | None:
    """Return the artifact key of a step's latest preview, or of the latest of all; None if none."""
    for event in reversed(read_events(services.redis, job_id)):
        if event.type == "preview" and event.data["frame"]:
            if step in (None, event.data["step"]):
                key: str = event.data["frame"]
                return key
    return None


def _look(
    services: Services, job_id: str, after: str, position: int | None
) -> tuple[JobRecord | None, list[Event]]:
    # the record first: of a job that has ended by now, the log is complete
    record = services.jobs.get(job_id)
    events = read_events(services.redis, job_id, after)
    if record is None or record.status is not Status.QUEUED:
        return record, events
    (outlook,) = outlooks(services, [record])
    place: dict[str, Any] = {"position": outlook.position, "eta_seconds": outlook.eta_seconds}
    if events and events[-1].type == "queued":
        events[-1] = replace(events[-1], data=events[-1].data | place)
    elif outlook.position not in (None, position):
        events.append(Event("", "queued", place))
    return record, events
