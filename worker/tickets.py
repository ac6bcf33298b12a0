"""Puts jobs into rq's queues, with the same parameters as the HTTP process does."""

from __future__ import annotations

from rq import Retry
from rq.queue import Queue

from contract.queues import JOB_FUNCTION, MAX_RETRIES, TICKET_OPTIONS


def enqueue(queue: Queue, job_id: str) -> None:
    """Queue a recorded job under its own id, with all its retries."""
    queue.enqueue_call(
        JOB_FUNCTION,
        args=(job_id,),
        job_id=job_id,
        retry=Retry(max=MAX_RETRIES),
        **TICKET_OPTIONS,
    )
