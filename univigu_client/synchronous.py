"""The client that blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import ParamSpec, Self, TypeVar

import httpx2

from univigu_client import calls, jobs
from univigu_client.answers import ApiError, Event, Job, Kind, find_error
from univigu_client.calls import Call
from univigu_client.event_stream import PAUSE_SECONDS, EventReader
from univigu_client.flows import Flow, Pause
from univigu_client.operations import Operations

P = ParamSpec("P")
T = TypeVar("T")


class Client(Operations):
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

    def jobs(self, kind: Kind, *statuses: str) -> Iterator[Job]:
        """Yield jobs of a kind, the newest first: all, or those in the states that are named."""
        page, has_more = self._run(jobs.page(kind, statuses, None))
        while page:
            rest = jobs.page(kind, statuses, page[-1].id)  # now: these may be deleted by then
            following = self._run(rest) if has_more else ([], False)
            yield from page
            page, has_more = following

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

    def _bind(self, flow: Callable[P, Flow[T]]) -> Callable[P, T]:
        @wraps(flow)
        def operation(*args: P.args, **kwargs: P.kwargs) -> T:
            return self._run(flow(*args, **kwargs))

        return operation

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
