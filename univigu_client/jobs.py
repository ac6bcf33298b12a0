"""What can be done with jobs, as flows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Unpack

import httpx2

from univigu_client.answers import POLL_SECONDS, Job, Kind, StillRunning, read_job
from univigu_client.calls import Call, CaptionFields, VideoFields, caption_call, video_call
from univigu_client.flows import SHORT_SECONDS, Flow, Pause, answered

OnProgress = Callable[[Job], None]


def create_video(
    prompt: str, *, idempotency_key: str | None = None, **fields: Unpack[VideoFields]
) -> Flow[Job]:
    """Start a video job. Two calls with one `idempotency_key` of your own make one job."""
    return (yield from _create("videos", video_call(prompt, fields), idempotency_key))


def create_caption(
    video: str | PathLike[str] | Job,
    *,
    idempotency_key: str | None = None,
    **fields: Unpack[CaptionFields],
) -> Flow[Job]:
    """Start a caption job for a file, for the video at a URL, or for a completed video job.

    Raises:
        OSError: if the file cannot be read.
    """
    return (yield from _create("captions", caption_call(video, fields), idempotency_key))


def wait(
    job: Job, on_progress: OnProgress | None = None, timeout: float | None = None
) -> Flow[Job]:
    """Return the job once it has ended, in whatever state; looks at it at the server's pace.

    Args:
        job: as it was created or last seen.
        on_progress: called with the job each time it has been looked at.
        timeout: seconds, after which `StillRunning` is raised; the job goes on.

    Raises:
        StillRunning: when the time is over.
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


def generate(prompt: str, **fields: Unpack[VideoFields]) -> Flow[Job]:
    """Make a video and wait for it."""
    job = yield from create_video(prompt, **fields)
    return (yield from wait(job))


def caption(video: str | PathLike[str] | Job, **fields: Unpack[CaptionFields]) -> Flow[Job]:
    """Caption a video, or answer `instruction` about it, and wait for the text."""
    job = yield from create_caption(video, **fields)
    return (yield from wait(job))


def retrieve(kind: Kind, job_id: str) -> Flow[Job]:
    """Return a job as it stands."""
    answer = yield from answered(Call("GET", f"/v1/{kind}/{job_id}"))
    return _read(kind, answer)


def page(kind: Kind, statuses: Collection[str], after: str | None) -> Flow[tuple[list[Job], bool]]:
    """Return a page of jobs, the newest first, and whether there are more behind it."""
    params: dict[str, str | list[str]] = {"status": list(statuses)}
    if after is not None:
        params["after"] = after
    answer = yield from answered(Call("GET", f"/v1/{kind}", params=params))
    listed = answer.json()
    return [read_job(kind, fields) for fields in listed["data"]], listed["has_more"]


def cancel(job: Job) -> Flow[None]:
    """Ask for a job to stop, once; a server that is gone needs no telling."""
    with suppress(httpx2.TransportError):
        yield Call("POST", f"{job.path}/cancel", timeout=SHORT_SECONDS)


def delete(job: Job) -> Flow[None]:
    """Delete a job and its files; one that runs is stopped."""
    yield from answered(Call("DELETE", job.path))


def download(job: Job, path: str | PathLike[str], variant: str = "video") -> Flow[None]:
    """Write a file of a completed job: `video`, `thumbnail`, `vtt`, ...; of captions, `txt`.

    It is written whole or not at all.
    """
    parameter = "variant" if job.kind == "videos" else "format"
    params = {parameter: variant}
    yield from answered(Call("GET", f"{job.path}/content", params=params, into=Path(path)))


def _create(kind: Kind, call: Call, idempotency_key: str | None) -> Flow[Job]:
    """Start a job, once: every try carries the same key, by which the server knows a repeat."""
    key = idempotency_key or str(uuid.uuid4())
    answer = yield from answered(replace(call, headers={"idempotency-key": key}))
    return _read(kind, answer)


def _read(kind: Kind, answer: httpx2.Response) -> Job:
    pause = answer.headers.get("openai-poll-after-ms")
    return read_job(kind, answer.json(), int(pause) / 1000 if pause else POLL_SECONDS)
