"""Holds a request until its job has ended, without holding a thread."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import Query
from fastapi.concurrency import run_in_threadpool

from contract.records import JobRecord
from server.errors import NotFound
from server.services import Services

#: between two looks at the record, at first and at last
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 1.0
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
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while not record.status.is_terminal and (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LAST_PAUSE)
        found = await run_in_threadpool(services.jobs.get, record.id)
        if found is None:
            raise NotFound(f"{record.id} was deleted")
        record = found
    return record
