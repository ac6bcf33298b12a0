"""A job's event log as server-sent events: replayed from the last id seen, then followed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated

import redis
from fastapi import Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent

from contract.events import Event, read_events
from server.services import Services

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25

LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        pattern=r"^\d{1,18}(-\d{1,18})?$",
        description="The last id already seen; the stream goes on behind it",
    ),
]


async def follow(services: Services, job_id: str, after: str) -> AsyncIterator[ServerSentEvent]:
    """Yield the events behind the id `after` until the job has ended or is deleted.

    A lost Redis ends the stream; the client comes back with `Last-Event-ID`.
    """
    while True:
        try:
            ended, events = await run_in_threadpool(_look, services, job_id, after)
        except redis.RedisError as error:
            logger.warning("events of %s end early: %r", job_id, error)
            return
        for event in events:
            after = event.id
            yield ServerSentEvent(id=event.id, event=event.type, data=event.data)
        if ended:
            return
        await asyncio.sleep(POLL_SECONDS)


def _look(services: Services, job_id: str, after: str) -> tuple[bool, list[Event]]:
    # the record first: of a job that has ended by now, the log is complete
    record = services.jobs.get(job_id)
    ended = record is None or record.status.is_terminal
    return ended, read_events(services.redis, job_id, after)
