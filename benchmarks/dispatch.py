"""Empty jobs through one slot against a stock rq worker, which forks for each, on one real Redis.

Per job the slot also keeps the record and its events, asks an engine over its socket, and puts
three empty files and a manifest into the artifact store; the stock worker calls an empty function.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from benchmarks.instant_engine import CAPABILITIES
from benchmarks.lanes import STOCK_QUEUE, Lanes
from benchmarks.paired import Row, interleave
from cli.embedded import EmbeddedRedis
from worker.run_folder import RunFolder
from worker.settings import WorkerSettings

JOBS, PAIRS = 100, 7


@contextmanager
def workers() -> Iterator[Lanes]:
    """Start Redis, a slot with an instant engine, and a stock worker; end them all."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedRedis(folder / "redis"))
        start_slots(stack, folder, server.url)
        start(stack, "benchmarks.stock_worker", STOCK_QUEUE, server.url)
        yield Lanes(stack.enter_context(redis.Redis.from_url(server.url)))


def start_slots(
    stack: ExitStack, folder: Path, url: str, count: int = 1, engine_seconds: float = 0.0
) -> None:
    """Start an engine whose jobs are a sleep, and slots that have it do those of a Redis."""
    settings = WorkerSettings(redis_url=url, data_dir=folder, log_level="WARNING")
    run = open_run(stack, settings)
    run.write_capabilities(CAPABILITIES)
    start_engine(stack, run, "benchmarks.instant_engine", str(engine_seconds))
    for index in range(count):
        place = [str(run.path), str(os.getpid())]
        start(stack, "worker.slot", *place, "generate", f"generate-{index}")


def open_run(stack: ExitStack, settings: WorkerSettings) -> RunFolder:
    """Make a supervisor's folder that goes with the stack."""
    run, lock = RunFolder.create(settings)
    stack.callback(os.close, lock)
    stack.callback(run.remove)
    return run


def start_engine(stack: ExitStack, run: RunFolder, module: str, *arguments: str) -> None:
    """Start an engine as a supervisor does, and wait until it is warm."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as greeting:
        place = [str(run.path), str(os.getpid()), str(writer)]
        start(stack, module, *place, *arguments, keep=[writer])
        os.close(writer)
        assert greeting.readline(), "the engine did not come up"


def start(
    stack: ExitStack,
    module: str,
    *arguments: str,
    keep: Sequence[int] = (),
    variables: Mapping[str, str] | None = None,
) -> int:
    """Start a module as a process that ends with the stack, with further variables; its pid."""
    command = [sys.executable, "-m", module, *arguments]
    process = stack.enter_context(
        subprocess.Popen(command, pass_fds=keep, env=os.environ | (variables or {}))
    )
    stack.callback(process.terminate)  # before the wait that leaving `Popen` means
    return process.pid


def run() -> list[Row]:
    """Measure jobs per second."""
    with workers() as lanes:
        lanes.ours(1), lanes.stock(1)  # both are up
        pairs = interleave(lambda: lanes.stock(JOBS), lambda: lanes.ours(JOBS), PAIRS)
        lanes.check(1 + JOBS * PAIRS)
    return [
        Row(
            "jobs per second: one slot / stock forking worker",
            pairs.ratio,
            limit=2,
            sense="min",
            detail=pairs.describe(f"{JOBS} jobs, stock", "slot"),
        )
    ]
