"""The client that is awaited: the twin of `synchronous`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, aclosing
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

import httpx2

from univigu_client import calls, jobs
from univigu_client.answers import ApiError, Event, Job, Kind, find_error
from univigu_client.calls import Call
from univigu_client.event_stream import PAUSE_SECONDS, EventReader
from univigu_client.flows import Flow, Pause
from univigu_client.operations import Operations

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient(Operations):
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

    async def jobs(self, kind: Kind, *statuses: str) -> AsyncIterator[Job]:
        """Yield jobs of a kind, the newest first: all, or those in the states that are named."""
        page, has_more = await self._run(jobs.page(kind, statuses, None))
        while page:
            rest = jobs.page(kind, statuses, page[-1].id)  # now: these may be deleted by then
            following = await self._run(rest) if has_more else ([], False)
            for job in page:
                yield job
            page, has_more = following

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

    def _bind(self, flow: Callable[P, Flow[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(flow)
        async def operation(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self._run(flow(*args, **kwargs))

        return operation

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
