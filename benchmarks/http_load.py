"""Clients of a local server: jobs that come at a steady rate, and people who look at one.

As a process of its own, `python -m benchmarks.http_load PORT PATH`, it is `POLLERS` clients that
each ask for the path once a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any, Self

POLLERS = 200
RATE = 20.0
#: more often, and what is timed is how many looks the HTTP process bears
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0
_ENDED = {"completed", "finished"}  # ours, rq's


class Connection:
    """A keep-alive connection to a local server; small, so that what is timed is not the client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Self:
        """Connect to a port of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request; returns the JSON of its answer, which has to be a 200."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(data)}\r\n"
        self._writer.write(f"{head}content-type: application/json\r\n\r\n".encode() + data)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        answer = await self._reader.readexactly(int(headers["content-length"]))
        assert lines[0].split()[1] == "200", answer
        return json.loads(answer)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@dataclass(frozen=True)
class Api:
    """Where jobs are made, and what asks for one."""

    port: int
    path: str
    wish: dict[str, Any]

    async def ended_job(self) -> str:
        """Make a job and look at it until it is done; returns its path."""
        connection = await Connection.to(self.port)
        started = time.perf_counter()
        job = await connection.ask("POST", self.path, self.wish)
        while job["status"] not in _ENDED:
            assert time.perf_counter() - started < _PATIENCE_SECONDS, f"{job} is stuck"
            assert job["status"] != "failed", job
            await asyncio.sleep(_LOOK_SECONDS)
            job = await connection.ask("GET", f"{self.path}/{job['id']}")
        connection.close()
        return f"{self.path}/{job['id']}"

    async def job_seconds(self) -> float:
        """Return the time from asking for a job until it is seen to be done."""
        started = time.perf_counter()
        await self.ended_job()
        return time.perf_counter() - started

    async def seconds_of_jobs(self, count: int) -> list[float]:
        """Make jobs at `RATE`, whether or not those before are done."""

        async def one(index: int) -> float:
            await asyncio.sleep(index / RATE)
            return await self.job_seconds()

        return await asyncio.gather(*map(one, range(count)))

    async def create(self, count: int) -> None:
        """Make jobs one after the other, and look at none."""
        connection = await Connection.to(self.port)
        for _ in range(count):
            await connection.ask("POST", self.path, self.wish)
        connection.close()


async def poll(port: int, path: str) -> None:
    """Ask once a second for ever, as each of `POLLERS` clients, from different moments on.

    Says so when all are connected: what is timed is their asking, not their coming.
    """

    async def one(index: int, connection: Connection) -> None:
        await asyncio.sleep(index / POLLERS)
        while True:
            asked_at = time.monotonic()
            await connection.ask("GET", path)
            await asyncio.sleep(max(0, asked_at + 1 - time.monotonic()))

    connections = [await Connection.to(port) for _ in range(POLLERS)]
    print("polling", flush=True)  # noqa: T201 - for the process that has started this one
    await asyncio.gather(*(one(*numbered) for numbered in enumerate(connections)))


if __name__ == "__main__":
    asyncio.run(poll(int(sys.argv[1]), sys.argv[2]))
