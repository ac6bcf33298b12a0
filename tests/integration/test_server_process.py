"""The HTTP process as it is started and stopped in earnest."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx2
import pytest
from server_apps import Worker

from server.settings import ServerSettings

START_SECONDS = 30


@pytest.fixture
def process(server_settings: ServerSettings) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "UNIVIGU_REDIS_URL": server_settings.redis_url or "",
        "UNIVIGU_DATA_DIR": str(server_settings.data_dir),
        "UNIVIGU_PORT": str(port),
        "UNIVIGU_GRACEFUL_SHUTDOWN_SECONDS": "1",
    }
    child = subprocess.Popen([sys.executable, "-m", "server"], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_alive(url, child)
        yield child, url
    finally:
        child.kill()
        child.wait()


def wait_until_alive(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert child.poll() is None, "the server has ended"
        try:
            assert httpx2.get(f"{url}/healthz").status_code == 200
            return
        except httpx2.TransportError:
            time.sleep(0.05)
    pytest.fail("the server did not start")


def test_an_open_event_stream_does_not_hold_up_the_shutdown(
    process: tuple[subprocess.Popen[bytes], str], worker: Worker
) -> None:
    child, url = process
    video_id = httpx2.post(f"{url}/v1/videos", json={"prompt": "x"}).json()["id"]
    with httpx2.stream("GET", f"{url}/v1/videos/{video_id}/events", timeout=30) as stream:
        next(stream.iter_lines())
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=20) in (0, -signal.SIGTERM)
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
