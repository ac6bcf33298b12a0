"""The embedded Redis keeps its data, guards its folder and dies with its owner."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from cli.embedded import EmbeddedRedis

OWNER = """
import sys, time
from pathlib import Path
from cli.embedded import EmbeddedRedis

with EmbeddedRedis(Path(sys.argv[1])) as server:
    print(server.url, server.pid, flush=True)
    time.sleep(600)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def test_acknowledged_writes_survive_a_killed_server_and_a_restart(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("job", "accepted")
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not server.is_alive())
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("job") == b"accepted"


def test_a_server_that_died_comes_back_at_the_same_address(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("job", "accepted")
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not server.is_alive())
        server.start()
        assert client.get("job") == b"accepted"


def test_it_never_evicts_and_logs_every_write(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_client_without_the_password_is_refused(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        open_url = f"redis://{server.url.split('@')[1]}"
        with redis.Redis.from_url(open_url) as client:
            with pytest.raises(redis.AuthenticationError, match="authenticated"):
                client.ping()


def test_a_second_server_on_the_folder_is_refused(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path):
        with pytest.raises(RuntimeError, match=rf"{tmp_path} is in use by process {os.getpid()}"):
            EmbeddedRedis(tmp_path).start()


def test_the_folder_is_free_again_after_a_stop(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    for _ in range(2):
        server.start()
        server.stop()
    assert not server.is_alive()


def test_a_binary_that_cannot_serve_names_the_log(tmp_path: Path) -> None:
    failing = Path(shutil.which("false") or "")
    with pytest.raises(RuntimeError, match=r"did not come up \(exit status 1\); its log is"):
        EmbeddedRedis(tmp_path, binary=failing).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_server_dies_with_its_killed_owner(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout is not None
    url = owner.stdout.readline().split()[0]
    assert answers(url)
    owner.kill()
    wait_for(lambda: not answers(url))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_restart_waits_for_the_server_of_a_killed_owner(
    owner: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert owner.stdout is not None
    old_url, old_pid = owner.stdout.readline().split()
    os.kill(int(old_pid), signal.SIGSTOP)  # the orphan still holds the folder
    owner.kill()
    owner.wait()
    waker = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -CONT {old_pid}"])
    with waker, EmbeddedRedis(tmp_path / "data") as server:
        assert answers(server.url)
        assert not answers(old_url)
