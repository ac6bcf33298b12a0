"""What the client does, without doing it: generators that yield calls and pauses.

Whoever runs a flow sends the answer of each `Call` into it, or throws the transport error, and
lets each `Pause` pass. So one piece of logic serves the blocking and the asynchronous client.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

from univigu_client.answers import ApiError, find_error
from univigu_client.calls import Call

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


def _try(call: Call) -> Flow[tuple[httpx2.Response | None, ApiError | None]]:
    try:
        answer: httpx2.Response = yield call
    except httpx2.TransportError as error:
        return None, ApiError(
            0, f"no answer from {error.request.url}: {error or type(error).__name__}"
        )
    return answer, find_error(answer)
