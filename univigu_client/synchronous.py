"""The client that blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import httpx2

from univigu_client import batches, calls, flows
from univigu_client.answers import ApiError, Event, Hit, Job, Kind, find_error
from univigu_client.batches import Batch, OnBatch, Outcomes
from univigu_client.calls import Call, CaptionFields, VideoFields
from univigu_client.event_stream import PAUSE_SECONDS, EventReader
from univigu_client.flows import Flow, OnProgress, Pause

T = TypeVar("T")


class Client:
    """Talks to one server; may be used by several threads.

    What is sent is repeated when the network or the server fails for a moment, and waits while the
    server is loading or full. Creating is repeated under one Idempotency-Key, so that no second
    job is made. A refusal, and a server that stays away, is an `ApiError`.

    Args:
        url: its address, e.g. `http://127.0.0.1:8000`.
        api_key: sent as a bearer token.

    Raises:
        ValueError: if the address is no http or https URL.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = calls.base_url(url)
        self._http = httpx2.Client(
            base_url=self.url,
            headers=calls.bearer(api_key),
            timeout=calls.TIMEOUT,
            mounts=calls.LOCAL_MOUNTS,
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    def create_video(
        self, prompt: str, *, idempotency_key: str | None = None, **fields: Unpack[VideoFields]
    ) -> Job:
        """Start a video job. Two calls with one `idempotency_key` of your own make one job."""
        call = calls.video_call(prompt, fields)
        return self._run(flows.create("videos", call, idempotency_key))

    def create_caption(
        self,
        video: str | PathLike[str] | Job,
        *,
        idempotency_key: str | None = None,
        **fields: Unpack[CaptionFields],
    ) -> Job:
        """Start a caption job for a file, for the video at a URL, or for a completed video job.

        Raises:
            OSError: if the file cannot be read.
        """
        call = calls.caption_call(video, fields)
        return self._run(flows.create("captions", call, idempotency_key))

    def wait(
        self, job: Job, on_progress: OnProgress | None = None, timeout: float | None = None
    ) -> Job:
        """Return the job once it has ended, in whatever state.

        Args:
            job: as it was created or last seen.
            on_progress: called with the job each time it has been looked at.
            timeout: seconds, after which `StillRunning` is raised; the job goes on.
        """
        return self._run(flows.wait(job, on_progress, timeout))

    def generate(self, prompt: str, **fields: Unpack[VideoFields]) -> Job:
        """Make a video and wait for it."""
        return self.wait(self.create_video(prompt, **fields))

    def caption(self, video: str | PathLike[str] | Job, **fields: Unpack[CaptionFields]) -> Job:
        """Caption a video, or answer `instruction` about it, and wait for the text."""
        return self.wait(self.create_caption(video, **fields))

    def events(self, job: Job) -> Iterator[Event]:
        """Yield a job's events from the first to the last, across broken connections."""
        reader = EventReader()
        while True:
            try:
                for event in self._stream(job, reader):
                    yield event
                    if event.is_last:
                        return
            except httpx2.TransportError as error:
                if not reader.has_broken_off():
                    raise ApiError(0, f"no answer from {self.url}: {error}") from error
            else:
                if not reader.has_broken_off():
                    raise ApiError(0, f"the events of {job.id} end early")
            time.sleep(PAUSE_SECONDS)

    def retrieve(self, kind: Kind, job_id: str) -> Job:
        """Return a job as it stands."""
        return self._run(flows.retrieve(kind, job_id))

    def jobs(self, kind: Kind, *statuses: str) -> Iterator[Job]:
        """Yield jobs of a kind, the newest first: all, or those in the states that are named."""
        page, has_more = self._run(flows.page(kind, statuses, None))
        while page:
            rest = flows.page(kind, statuses, page[-1].id)  # now: these may be deleted by then
            following = self._run(rest) if has_more else ([], False)
            yield from page
            page, has_more = following

    def cancel(self, job: Job) -> None:
        """Ask for a job to stop, once."""
        self._run(flows.cancel(job))

    def delete(self, job: Job) -> None:
        """Delete a job and its files; one that runs is stopped."""
        self._run(flows.delete(job))

    def download(self, job: Job, path: str | PathLike[str], variant: str = "video") -> None:
        """Write a file of a completed job: `video`, `thumbnail`, `vtt`, ...; of captions, `txt`."""
        self._run(flows.download(job, Path(path), variant))

    def upload(
        self,
        path: str | PathLike[str],
        *,
        idempotency_key: str | None = None,
        lifetime_seconds: int | None = None,
    ) -> str:
        """Keep a file on the server, to be named as `file_id`; returns that.

        Args:
            path: the file.
            idempotency_key: two calls with one key of your own keep one file.
            lifetime_seconds: an hour to 30 days; else it is kept until it is deleted.
        """
        flow = batches.create_file(Path(path), "user_data", idempotency_key, lifetime_seconds)
        return self._run(flow)

    def delete_file(self, file_id: str) -> None:
        """Delete a file of `upload`."""
        self._run(batches.delete_file(file_id))

    def create_batch(
        self,
        kind: Kind,
        requests: Mapping[str, Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        lifetime_seconds: int | None = None,
    ) -> Batch:
        """Start many jobs: each request by a name of your own, with its fields.

        Args:
            kind: of all of them.
            requests: the fields of each.
            idempotency_key: two calls with one key of your own make one batch.
            lifetime_seconds: how long the outcomes are kept, an hour to 30 days; else 30 days.
        """
        flow = batches.create_batch(kind, requests, idempotency_key, lifetime_seconds)
        return self._run(flow)

    def retrieve_batch(self, batch_id: str) -> Batch:
        """Return a batch as it stands."""
        return self._run(batches.retrieve_batch(batch_id))

    def wait_batch(
        self, batch: Batch, on_progress: OnBatch | None = None, timeout: float | None = None
    ) -> Batch:
        """Return the batch once it has ended; as `wait` does."""
        return self._run(batches.wait_batch(batch, on_progress, timeout))

    def cancel_batch(self, batch: Batch) -> Batch:
        """Ask for a batch to stop."""
        return self._run(batches.cancel_batch(batch))

    def outcomes(self, batch: Batch) -> Outcomes:
        """Return the job, or the error, of each request of an ended batch."""
        return self._run(batches.outcomes(batch))

    def search(self, query: str, limit: int = 20) -> list[Hit]:
        """Return jobs whose texts have these words, best first."""
        return self._run(flows.search(query, limit))

    def checkpoint(self) -> str:
        """Return name and content hash of the loaded checkpoint."""
        return self._run(flows.checkpoint())

    def is_ready(self) -> bool:
        """Whether a job would be done now."""
        return self._run(flows.is_ready())

    def _stream(self, job: Job, reader: EventReader) -> Iterator[Event]:
        call = calls.events_call(job, reader.last_id)
        reader.begin()
        with self._http.stream(call.method, call.path, headers=call.headers) as answer:
            if answer.is_error:
                answer.read()
                raise find_error(answer) or AssertionError
            for line in answer.iter_lines():
                if event := reader.feed(line):
                    yield event

    def _run(self, flow: Flow[T]) -> T:
        answer: httpx2.Response | None = None
        error: httpx2.TransportError | None = None
        while True:
            try:
                step = flow.throw(error) if error else flow.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            answer = error = None
            try:
                answer = self._do(step)
            except httpx2.TransportError as failed:
                error = failed

    def _do(self, step: Call | Pause) -> httpx2.Response | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        with ExitStack() as closing:
            request = calls.build(self._http, step, closing)
            answer = self._http.send(request, stream=True)
            closing.callback(answer.close)
            if step.into and answer.is_success:
                with calls.whole_file(step.into) as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
            else:
                answer.read()
            return answer
