"""Holds a request until its job has ended, without holding a thread."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Query
from fastapi.concurrency import run_in_threadpool

from contract.records import JobRecord, Status
from server.errors import JobFailed, NotFound, Unavailable
from server.services import Services

#: between two looks at the record where nothing is heard
_PAUSE_SECONDS = 1.0
MAX_POLL_SECONDS = 60

Wait = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_POLL_SECONDS,
        allow_inf_nan=False,
        description="Answer once the job has ended, or after this many seconds",
    ),
]


async def until_ended(services: Services, record: JobRecord, seconds: float) -> JobRecord:
    """Return the record of an ended job, or as it stands once the time is over.

    Raises:
        NotFound: if the job is deleted meanwhile.
    """
    deadline = time.monotonic() + seconds
    pause = 0.0  # the end may lie between the look before and here
    with services.ends.watch(record.id) as watch:
        while not record.status.is_terminal and (left := deadline - time.monotonic()) > 0:
            await watch.pause(min(pause, left))
            pause = _PAUSE_SECONDS
            found = await run_in_threadpool(services.jobs.get, record.id)
            if found is None:
                raise NotFound(f"{record.id} was deleted")
            record = found
    return record


def check_answer(record: JobRecord) -> None:
    """Require that a job whose answer was waited for has completed.

    Raises:
        Unavailable: if it has not ended yet; the same request made again finds it.
        JobFailed: if it ended in another way.
    """
    if not record.status.is_terminal:
        raise Unavailable(f"{record.id} is still {record.status}", code="still_running")
    if record.status is not Status.COMPLETED:
        raise JobFailed(record.id, record.status, record.error)
