"""What serving costs beside the engine: our API and slots, a bare FastAPI and `SimpleWorker`.

Jobs whose engine sleeps come at a steady rate, and clients of both look at them equally often; what
is over the sleep is the cost. A create request costs what its HTTP process spends on it. Both once
more while many clients ask for the state of a job.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles

from benchmarks.http_load import POLLERS, RATE
from benchmarks.paired import Row
from benchmarks.serving_house import ENGINE_SECONDS, Serving, serving_house

ROUNDS, JOBS, CREATES = 10, 60, 300
_IDLE_SECONDS = 2.0
Measure = Callable[[Serving], list[float]]


def overheads(serving: Serving) -> list[float]:
    """Return what clients wait beyond the engine, in seconds by job."""
    return [one - ENGINE_SECONDS for one in asyncio.run(serving.api.seconds_of_jobs(JOBS))]


def create_cpu(serving: Serving) -> list[float]:
    """Return the CPU seconds of a create request, without what the process spends anyway."""
    anyway, seconds = _spent(serving, lambda: time.sleep(_IDLE_SECONDS))
    share = anyway / seconds
    spent, seconds = _spent(serving, lambda: asyncio.run(serving.api.create(CREATES)))
    return [(spent - share * seconds) / CREATES]


def _spent(serving: Serving, act: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds of the HTTP process during an act."""
    before, started = serving.cpu_seconds(), time.perf_counter()
    act()
    after, seconds = serving.cpu_seconds(), time.perf_counter() - started
    return after - before, seconds


@contextmanager
def polled(serving: Serving) -> Iterator[None]:
    """Have many clients ask for the state of a job."""
    path = asyncio.run(serving.api.ended_job())
    command = [sys.executable, "-m", "benchmarks.http_load", str(serving.api.port), path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as clients:
        assert clients.stdout is not None
        assert clients.stdout.readline(), "the clients did not come up"
        yield
        assert clients.poll() is None, "the clients gave up"
        clients.terminate()


def in_turn(measure: Measure, ours: Serving, bare: Serving) -> tuple[list[float], ...]:
    """Measure ours, the bare one, and ours while it is polled, round by round."""
    figures: tuple[list[float], ...] = ([], [], [])
    for _ in range(ROUNDS):
        figures[0].extend(measure(ours))
        figures[1].extend(measure(bare))
        with polled(ours):
            figures[2].extend(measure(ours))
    return figures


def run() -> list[Row]:
    """Measure both costs."""
    with serving_house() as (ours, bare):
        for serving in (ours, bare):
            asyncio.run(serving.api.job_seconds())  # all are up
        waits = in_turn(overheads, ours, bare)
        cpu = in_turn(create_cpu, ours, bare)
    jobs, creates = f"time of a job beyond its engine, {RATE:g} a second", "CPU of a create request"
    return [
        *_rows(f"{jobs}, p50", median, waits, limit=1.5),
        *_rows(f"{jobs}, p99", _p99, waits, limit=2),
        *_rows(creates, median, cpu, limit=1.5),
    ]


def _rows(
    name: str,
    summary: Callable[[list[float]], float],
    figures: tuple[list[float], ...],
    limit: float,
) -> list[Row]:
    ours, bare, polled = (summary(seconds) * 1000 for seconds in figures)
    return [
        Row(f"{name}: ours / bare", ours / bare, limit, "max", f"{ours:.3g} ms, {bare:.3g} ms"),
        Row(
            f"{name}: {POLLERS} clients polling / none",
            polled / ours,
            1.2,
            "max",
            f"{polled:.3g} ms, {ours:.3g} ms",
        ),
    ]


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[-1]
