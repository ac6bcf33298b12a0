"""The processes of the serving benchmark: two HTTP servers and their workers, on one Redis."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.dispatch import start, start_slots
from benchmarks.http_load import Api
from benchmarks.instant_engine import CAPABILITIES
from benchmarks.lanes import STOCK_QUEUE
from cli.embedded import EmbeddedRedis
from contract.engine_status import publish_capabilities
from worker.settings import WorkerSettings

ENGINE_SECONDS = 0.01
_START_SECONDS = 60.0
_PROMPT = "x"
_SLOTS = WorkerSettings.model_fields["generate_slots"].default


@dataclass(frozen=True)
class Serving:
    """An HTTP process and how jobs are made through it."""

    api: Api
    pid: int

    def cpu_seconds(self) -> float:
        """Return what the process has spent so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving_house() -> Iterator[tuple[Serving, Serving]]:
    """Start everything; gives our API and the bare one, and ends it all."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(EmbeddedRedis(folder / "redis")).url
        with redis.Redis.from_url(url) as connection:
            publish_capabilities(connection, CAPABILITIES)
        start_slots(stack, folder, url, _SLOTS, ENGINE_SECONDS)
        start(stack, "benchmarks.stock_worker", STOCK_QUEUE, url, "SimpleWorker")
        ours, bare = _free_port(), _free_port()
        settings = {
            "UNIVIGU_REDIS_URL": url,
            "UNIVIGU_DATA_DIR": str(folder),
            "UNIVIGU_PORT": str(ours),
            "UNIVIGU_LOG_LEVEL": "WARNING",
            "UNIVIGU_MAX_QUEUED_JOBS": "1000000",
        }
        pids = (
            start(stack, "server", variables=settings),
            start(stack, "benchmarks.bare_api", url, str(bare)),
        )
        wish = {"prompt": _PROMPT, "engine_seconds": ENGINE_SECONDS}
        apis = Api(ours, "/v1/videos", {"prompt": _PROMPT}), Api(bare, "/jobs", wish)
        for api in apis:
            _wait_for(api.port)
        yield Serving(apis[0], pids[0]), Serving(apis[1], pids[1])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < give_up_at, f"nobody listens on {port}"
            time.sleep(0.05)
