"""The HTTP process as it is started and stopped in earnest."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest
from server_apps import Worker
from server_process import ServerProcess

from server.settings import ServerSettings


@pytest.fixture
def process(server_settings: ServerSettings) -> Iterator[ServerProcess]:
    process = ServerProcess(server_settings, UNIVIGU_GRACEFUL_SHUTDOWN_SECONDS="1")
    yield process
    process.kill()


def test_an_open_event_stream_does_not_hold_up_the_shutdown(
    process: ServerProcess, worker: Worker
) -> None:
    url = process.url
    video_id = httpx2.post(f"{url}/v1/videos", json={"prompt": "x"}).json()["id"]
    with httpx2.stream("GET", f"{url}/v1/videos/{video_id}/events", timeout=30) as stream:
        next(stream.iter_lines())
        process.child.send_signal(signal.SIGTERM)
        assert process.child.wait(timeout=20) in (0, -signal.SIGTERM)
    assert worker.jobs.live_ids() == {video_id}


def test_a_reachable_address_without_keys_is_refused_at_start() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "server"],
        env=os.environ | {"UNIVIGU_HOST": "0.0.0.0", "UNIVIGU_REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode != 0
    assert "set UNIVIGU_API_KEYS, or listen on 127.0.0.1" in run.stderr
