"""The whole service on one machine: embedded Redis, HTTP process and worker, ended in order.

It watches processes and knows nothing of jobs; `univigu serve` is its command.
"""

from __future__ import annotations

import os
import socket
import time

import redis
from rich.console import Console

from cli.checkpoint import require_checkpoint
from cli.embedded import EmbeddedRedis
from cli.tied_process import TiedProcess
from contract.engine_status import read_capabilities, warm_workers
from server.settings import ServerSettings
from worker.settings import WorkerSettings
from worker.signing import read_signer

_TICK_SECONDS = 0.2
_RESTART_SECONDS = 1.0
#: beyond what the processes themselves promise to need
_MARGIN_SECONDS = 5.0
#: the supervisor's own limits for slots, janitor and engine, one after the other
_STOP_WORKER_SECONDS = 20.0
#: each slot is a process; with few cores they only take turns
_SMALL_MACHINE_CORES = 8
_SMALL_MACHINE_SLOTS = {"generate_slots": 1, "understand_slots": 2}


class ServeSettings(ServerSettings, WorkerSettings):
    """Settings of all processes together."""


class AllInOne:
    """Starts the processes of the service and keeps them running.

    Args:
        settings: of all of them.
        console: where it tells how things stand.

    Raises:
        ValueError: if the address is taken, the checkpoint is not there, or nothing can be signed
            with the certificate.
    """

    def __init__(self, settings: ServeSettings, console: Console) -> None:
        self._settings, self._console = settings, console
        self._port = _free_port(settings.host, settings.port)
        require_checkpoint(settings.checkpoint)
        if signer := read_signer(settings):
            signer.check()
        self._embedded: EmbeddedRedis | None = None
        self._processes: list[tuple[TiedProcess, float]] = []
        self._redis_started_at = 0.0
        self._is_told_to_stop = False

    @property
    def url(self) -> str:
        """Where this machine reaches the service."""
        host = self._settings.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self._port}"

    def stop(self) -> None:
        """Make `run` end everything and return; callable from a signal handler."""
        self._is_told_to_stop = True

    def run(self) -> None:
        """Serve until told to stop.

        Raises:
            RuntimeError: if the embedded Redis cannot be started, e.g. over a data folder in use.
        """
        self._console.print(f"starting on {self.url}, data in {self._settings.data_dir.absolute()}")
        redis_url = self._settings.redis_url or self._start_redis()
        try:
            self._processes = self._prepare(redis_url)
            with redis.Redis.from_url(redis_url, socket_timeout=2) as connection:
                self._tend(connection)
        finally:
            self._shut_down()

    def _start_redis(self) -> str:
        self._embedded = EmbeddedRedis(self._settings.data_dir / "redis")
        self._embedded.start()
        return self._embedded.url

    def _prepare(self, redis_url: str) -> list[tuple[TiedProcess, float]]:
        variables = child_variables(self._settings) | {
            "UNIVIGU_REDIS_URL": redis_url,
            "UNIVIGU_PORT": str(self._port),
        }
        api_patience = self._settings.graceful_shutdown_seconds + _MARGIN_SECONDS
        worker_patience = self._settings.grace_seconds + _STOP_WORKER_SECONDS
        return [
            (TiedProcess("HTTP process", ["-m", "server"], variables), api_patience),
            (TiedProcess("worker", ["-m", "worker"], variables), worker_patience),
        ]

    def _tend(self, connection: redis.Redis) -> None:
        is_announced = False
        while not self._is_told_to_stop:
            self._revive_redis()
            for process, _ in self._processes:
                if process.keep_alive():
                    self._console.print(f"the {process.name} has died and is started again")
            if not is_announced:
                is_announced = self._announce(connection)
            time.sleep(_TICK_SECONDS)

    def _revive_redis(self) -> None:
        if self._embedded is None or self._embedded.is_alive():
            return
        if time.monotonic() < self._redis_started_at + _RESTART_SECONDS:
            return
        self._console.print("the embedded Redis has died and is started again")
        self._redis_started_at = time.monotonic()
        self._embedded.start()

    def _announce(self, connection: redis.Redis) -> bool:
        try:
            found = read_capabilities(connection) if warm_workers(connection) else None
        except redis.RedisError:
            return False
        if found is None or not _listens(self._settings.host, self._port):
            return False
        self._console.print(f"ready: {self.url} serves {found.checkpoint}; Ctrl-C ends it")
        return True

    def _shut_down(self) -> None:
        self._console.print("stopping")
        for process, patience in self._processes:
            process.stop(patience)
        if self._embedded is not None:
            self._embedded.stop()


def child_variables(settings: ServeSettings) -> dict[str, str]:
    """Return the environment of the child processes, as far as options and defaults decide it."""
    variables = {
        "UNIVIGU_HOST": settings.host,
        "UNIVIGU_DATA_DIR": str(settings.data_dir.absolute()),
        "UNIVIGU_CHECKPOINT": str(settings.checkpoint.absolute()),
    }
    for name, slots in _SMALL_MACHINE_SLOTS.items():
        if (os.cpu_count() or 1) < _SMALL_MACHINE_CORES and name not in settings.model_fields_set:
            variables[f"UNIVIGU_{name.upper()}"] = str(slots)
    return variables


def _free_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(
                f"cannot listen on {host} port {port}: {error.strerror}; choose another --port"
            ) from error
        found: int = probe.getsockname()[1]
        return found


def _listens(host: str, port: int) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
