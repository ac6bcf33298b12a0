"""Wakes whoever waits for a job to end: one subscription for all of them, while there are any.

What is heard is a hint to look at the record, never the truth: Redis tells an end once, to those
who listen then. So whoever waits is woken when listening begins, too, and looks now and then where
nothing is heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from redis.asyncio import Redis

from contract.events import ENDS_CHANNEL

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
#: the subscription outlasts the last one who waits by this; every end that is heard costs time
_LINGER_SECONDS = 1.0


class Ends:
    """The ends of jobs, as they happen.

    Args:
        url: of Redis.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._is_watched = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of ends while the block runs."""
        listener = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """Give what can be waited for until a job has ended or was deleted.

        What has happened before is told to nobody: look at the job within the block.
        """
        event = asyncio.Event()
        self._watchers.setdefault(job_id, set()).add(event)
        self._is_watched.set()
        try:
            yield Watch(event)
        finally:
            self._watchers[job_id].discard(event)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

    async def _listen(self) -> None:
        while True:
            await self._is_watched.wait()
            try:
                await self._follow()
            except Exception as error:  # who waits looks now and then without it
                logger.warning("nothing is heard of jobs that end: %r", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        connection = Redis.from_url(
            self._url, socket_keepalive=True, socket_timeout=None, health_check_interval=10
        )
        async with connection, connection.pubsub() as channel:
            await channel.subscribe(ENDS_CHANNEL)
            while self._watchers:
                if message := await channel.get_message(timeout=_LINGER_SECONDS):
                    self._wake(message)
            self._is_watched.clear()  # before anything is awaited: somebody may come meanwhile

    def _wake(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "message":
            woken = self._watchers.get(message["data"].decode(), set())
        else:  # it is subscribed, for the first time or again: of the time before nothing is heard
            woken = set().union(*self._watchers.values())
        for event in woken:
            event.set()


class Watch:
    """One who waits for a job."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def pause(self, seconds: float) -> None:
        """Return once the job may have ended, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
