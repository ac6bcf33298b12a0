"""The client that is awaited: the twin of `synchronous`, operation by operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing
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


class AsyncClient:
    """Talks to one server, as `Client` does, within one event loop.

    Args:
        url: its address, e.g. `http://127.0.0.1:8000`.
        api_key: sent as a bearer token.

    Raises:
        ValueError: if the address is no http or https URL.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = calls.base_url(url)
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            headers=calls.bearer(api_key),
            timeout=calls.TIMEOUT,
            mounts=calls.LOCAL_MOUNTS,
        )

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def create_video(
        self, prompt: str, *, idempotency_key: str | None = None, **fields: Unpack[VideoFields]
    ) -> Job:
        """Start a video job. Two calls with one `idempotency_key` of your own make one job."""
        call = calls.video_call(prompt, fields)
        return await self._run(flows.create("videos", call, idempotency_key))

    async def create_caption(
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
        return await self._run(flows.create("captions", call, idempotency_key))

    async def wait(
        self, job: Job, on_progress: OnProgress | None = None, timeout: float | None = None
    ) -> Job:
        """Return the job once it has ended, in whatever state.

        Args:
            job: as it was created or last seen.
            on_progress: called with the job each time it has been looked at.
            timeout: seconds, after which `StillRunning` is raised; the job goes on.
        """
        return await self._run(flows.wait(job, on_progress, timeout))

    async def generate(self, prompt: str, **fields: Unpack[VideoFields]) -> Job:
        """Make a video and wait for it."""
        return await self.wait(await self.create_video(prompt, **fields))

    async def caption(
        self, video: str | PathLike[str] | Job, **fields: Unpack[CaptionFields]
    ) -> Job:
        """Caption a video, or answer `instruction` about it, and wait for the text."""
        return await self.wait(await self.create_caption(video, **fields))

    async def events(self, job: Job) -> AsyncIterator[Event]:
        """Yield a job's events from the first to the last, across broken connections."""
        reader = EventReader()
        while True:
            try:
                async with aclosing(self._stream(job, reader)) as stream:
                    async for event in stream:
                        yield event
                        if event.is_last:
                            return
            except httpx2.TransportError as error:
                if not reader.has_broken_off():
                    raise ApiError(0, f"no answer from {self.url}: {error}") from error
            else:
                if not reader.has_broken_off():
                    raise ApiError(0, f"the events of {job.id} end early")
            await asyncio.sleep(PAUSE_SECONDS)

    async def retrieve(self, kind: Kind, job_id: str) -> Job:
        """Return a job as it stands."""
        return await self._run(flows.retrieve(kind, job_id))

    async def jobs(self, kind: Kind, *statuses: str) -> AsyncIterator[Job]:
        """Yield jobs of a kind, the newest first: all, or those in the states that are named."""
        page, has_more = await self._run(flows.page(kind, statuses, None))
        while page:
            rest = flows.page(kind, statuses, page[-1].id)  # now: these may be deleted by then
            following = await self._run(rest) if has_more else ([], False)
            for job in page:
                yield job
            page, has_more = following

    async def cancel(self, job: Job) -> None:
        """Ask for a job to stop, once."""
        await self._run(flows.cancel(job))

    async def delete(self, job: Job) -> None:
        """Delete a job and its files; one that runs is stopped."""
        await self._run(flows.delete(job))

    async def download(self, job: Job, path: str | PathLike[str], variant: str = "video") -> None:
        """Write a file of a completed job: `video`, `thumbnail`, `vtt`, ...; of captions, `txt`."""
        await self._run(flows.download(job, Path(path), variant))

    async def upload(
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
        return await self._run(flow)

    async def delete_file(self, file_id: str) -> None:
        """Delete a file of `upload`."""
        await self._run(batches.delete_file(file_id))

    async def create_batch(
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
        return await self._run(flow)

    async def retrieve_batch(self, batch_id: str) -> Batch:
        """Return a batch as it stands."""
        return await self._run(batches.retrieve_batch(batch_id))

    async def wait_batch(
        self, batch: Batch, on_progress: OnBatch | None = None, timeout: float | None = None
    ) -> Batch:
        """Return the batch once it has ended; as `wait` does."""
        return await self._run(batches.wait_batch(batch, on_progress, timeout))

    async def cancel_batch(self, batch: Batch) -> Batch:
        """Ask for a batch to stop."""
        return await self._run(batches.cancel_batch(batch))

    async def outcomes(self, batch: Batch) -> Outcomes:
        """Return the job, or the error, of each request of an ended batch."""
        return await self._run(batches.outcomes(batch))

    async def search(self, query: str, limit: int = 20) -> list[Hit]:
        """Return jobs whose texts have these words, best first."""
        return await self._run(flows.search(query, limit))

    async def checkpoint(self) -> str:
        """Return name and content hash of the loaded checkpoint."""
        return await self._run(flows.checkpoint())

    async def is_ready(self) -> bool:
        """Whether a job would be done now."""
        return await self._run(flows.is_ready())

    async def _stream(self, job: Job, reader: EventReader) -> AsyncGenerator[Event]:
        call = calls.events_call(job, reader.last_id)
        reader.begin()
        async with self._http.stream(call.method, call.path, headers=call.headers) as answer:
            if answer.is_error:
                await answer.aread()
                raise find_error(answer) or AssertionError
            async for line in answer.aiter_lines():
                if event := reader.feed(line):
                    yield event

    async def _run(self, flow: Flow[T]) -> T:
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
                answer = await self._do(step)
            except httpx2.TransportError as failed:
                error = failed

    async def _do(self, step: Call | Pause) -> httpx2.Response | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        async with AsyncExitStack() as ending:
            request = calls.build(self._http, step, ending.enter_context(ExitStack()))
            answer = await self._http.send(request, stream=True)
            ending.push_async_callback(answer.aclose)
            if step.into and answer.is_success:
                with calls.whole_file(step.into) as file:
                    async for chunk in answer.aiter_bytes():
                        file.write(chunk)
            else:
                await answer.aread()
            return answer
