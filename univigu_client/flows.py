"""What the client does, without doing it: generators that yield calls and pauses.

Whoever runs a flow sends the answer of each `Call` into it, or throws the transport error, and
lets each `Pause` pass. So one piece of logic serves the blocking and the asynchronous client.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from univigu_client.answers import (
    POLL_SECONDS,
    ApiError,
    Hit,
    Job,
    Kind,
    StillRunning,
    find_error,
    read_hits,
    read_job,
)
from univigu_client.calls import Call

OnProgress = Callable[[Job], None]

_TRIES = 4
_PAUSE_SECONDS = 0.2
#: how long a server may say that it is loading, full or asked too often
_BUSY_SECONDS = 300.0
_BUSY_CODES = ("model_loading", "queue_full", "rate_limit_exceeded", "too_many_jobs")
_BUSY_PAUSE_SECONDS = 2.0
SHORT_SECONDS = 5.0


@dataclass(frozen=True)
class Pause:
    """Time to let pass."""

    seconds: float


T = TypeVar("T")
Flow = Generator[Call | Pause, Any, T]


def create(kind: Kind, call: Call, idempotency_key: str | None) -> Flow[Job]:
    """Start a job, once: every try carries the same key, by which the server knows a repeat.

    Raises:
        ApiError: if the server refuses or cannot be reached.
        OSError: if the file to upload cannot be read.
    """
    key = idempotency_key or str(uuid.uuid4())
    answer = yield from answered(replace(call, headers={"idempotency-key": key}))
    return _job(kind, answer)


def retrieve(kind: Kind, job_id: str) -> Flow[Job]:
    """Look at a job."""
    answer = yield from answered(Call("GET", f"/v1/{kind}/{job_id}"))
    return _job(kind, answer)


def page(kind: Kind, statuses: Collection[str], after: str | None) -> Flow[tuple[list[Job], bool]]:
    """Return a page of jobs, the newest first, and whether there are more behind it."""
    params: dict[str, str | list[str]] = {"status": list(statuses)}
    if after is not None:
        params["after"] = after
    answer = yield from answered(Call("GET", f"/v1/{kind}", params=params))
    listed = answer.json()
    return [read_job(kind, fields) for fields in listed["data"]], listed["has_more"]


def wait(job: Job, on_progress: OnProgress | None, timeout: float | None) -> Flow[Job]:
    """Look at a job at the server's pace until it has ended.

    Raises:
        StillRunning: when `timeout` seconds are over.
        ApiError: if the server cannot be reached for long.
    """
    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    while not job.has_ended:
        left = deadline - time.monotonic()
        if left <= 0:
            raise StillRunning(f"{job.id} is still {job.status} after {timeout:g} s")
        yield Pause(min(job.poll_seconds, left))
        job = yield from retrieve(job.kind, job.id)
        if on_progress:
            on_progress(job)
    return job


def cancel(job: Job) -> Flow[None]:
    """Ask once for a job to stop; a server that is gone needs no telling."""
    with suppress(httpx2.TransportError):
        yield Call("POST", f"{job.path}/cancel", timeout=SHORT_SECONDS)


def delete(job: Job) -> Flow[None]:
    """Delete a job and its files."""
    yield from answered(Call("DELETE", job.path))


def download(job: Job, path: Path, variant: str) -> Flow[None]:
    """Write a file that a job has made, whole or not at all."""
    parameter = "variant" if job.kind == "videos" else "format"
    yield from answered(Call("GET", f"{job.path}/content", params={parameter: variant}, into=path))


def search(query: str, limit: int) -> Flow[list[Hit]]:
    """Find jobs by their texts."""
    answer = yield from answered(Call("GET", "/v1/search", params={"q": query, "limit": limit}))
    return read_hits(answer)


def checkpoint() -> Flow[str]:
    """Return name and content hash of the loaded checkpoint."""
    answer = yield from answered(Call("GET", "/v1/models/univigu"))
    return str(answer.json()["checkpoint"])


def is_ready() -> Flow[bool]:
    """Ask once whether a job would be done now."""
    try:
        answer: httpx2.Response = yield Call("GET", "/readyz", timeout=SHORT_SECONDS)
    except httpx2.TransportError:
        return False
    return answer.status_code == 200


def answered(call: Call, tries: int = _TRIES) -> Flow[httpx2.Response]:
    """Send a call that may be repeated until it gets a good answer.

    Raises:
        ApiError: if the server refuses, is busy for minutes, or fails `tries` times in a row.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    failures = 0
    while True:
        answer, error = yield from _try(call)
        if error is None:
            assert answer is not None
            return answer
        if error.code in _BUSY_CODES and answer is not None:
            if time.monotonic() >= deadline:
                raise error
            yield Pause(float(answer.headers.get("retry-after", _BUSY_PAUSE_SECONDS)))
            continue
        failures += 1
        if failures == tries or 0 < error.status < 500:
            raise error
        yield Pause(_PAUSE_SECONDS * 2**failures)


def _job(kind: Kind, answer: httpx2.Response) -> Job:
    pause = answer.headers.get("openai-poll-after-ms")
    return read_job(kind, answer.json(), int(pause) / 1000 if pause else POLL_SECONDS)


def _try(call: Call) -> Flow[tuple[httpx2.Response | None, ApiError | None]]:
    try:
        answer: httpx2.Response = yield call
    except httpx2.TransportError as error:
        return None, ApiError(
            0, f"no answer from {error.request.url}: {error or type(error).__name__}"
        )
    return answer, find_error(answer)
