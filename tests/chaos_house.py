"""Two whole workers and an HTTP server on one Redis, and somebody who breaks them.

Whatever ends here is started again, as an operator's service manager would.
"""

import contextlib
import os
import random
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import psutil
import redis
from cli_house import environment, free_port, until

from cli.embedded import EmbeddedRedis
from contract.engine_status import warm_workers
from contract.jobs import JobStore

LEASE_SECONDS = 3
WORKERS = ("first", "second")


class Relay:
    """A TCP relay to Redis, whose connections can be cut."""

    def __init__(self):
        self.target = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self):
        return self._listener.getsockname()[1]

    def cut(self):
        """Reset every connection."""
        with self._lock:
            pairs = [*self._pairs]
        for end in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()
        self.cut()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                pair = (client, server)
                with self._lock:
                    self._pairs.add(pair)
                try:
                    _pump(client, server)
                finally:
                    with self._lock:
                        self._pairs.discard(pair)


def _pump(client, server):
    others = {client: server, server: client}
    while True:
        for end in select.select([*others], [], [])[0]:
            data = end.recv(65536)
            if not data:
                return
            others[end].sendall(data)


class ChaosHouse:
    """The processes; use it as a context manager.

    Args:
        folder: an empty folder for everything that they write.
        checkpoint: what the engines load.
    """

    def __init__(self, folder, checkpoint):
        self.server = EmbeddedRedis(folder / "redis")
        self.relay, self.port = Relay(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.temporary, self.data = folder / "t", folder / "data"
        self._folder, self._checkpoint = folder, checkpoint
        self._processes = {}
        self._stopping = threading.Event()
        self._starting = threading.RLock()
        self._keeper = threading.Thread(target=self._keep)

    def __enter__(self):
        self.temporary.mkdir()
        self.server.start()
        self.relay.target = urlsplit(self.server.url).port
        self.redis = redis.Redis.from_url(self.server.url)
        self.jobs = JobStore(self.redis)
        for name in (*WORKERS, "api"):
            self._start(name)
        self._keeper.start()
        until(lambda: warm_workers(self.redis) == len(WORKERS), 150)
        return self

    def __exit__(self, *exc_info):
        self._stopping.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for process in self._processes.values():
            for each in _family(process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait(10)
        self.redis.close()
        self.relay.close()
        self.server.stop()

    def stop(self):
        """End all in order; returns the exit statuses by name."""
        self._stopping.set()
        self._keeper.join()
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(60) for name, process in self._processes.items()}

    def leftovers(self):
        """Return what still runs or lies about after `stop`."""
        mark = str(self.temporary)
        running = [p.info for p in psutil.process_iter(["pid", "cmdline"]) if _lives_in(p, mark)]
        return running + sorted(path.name for path in self.temporary.iterdir())

    def pick(self, rng, word):
        """Return a process whose command line has this word, of any worker; None if none runs."""
        found = [
            child
            for name in WORKERS
            for child in _family(self._processes[name])
            if word in _command(child)
        ]
        return rng.choice(found) if found else None

    def top(self, name):
        return self._processes[name]

    def restart_redis(self):
        """Kill Redis and start it again, on the same port and append-only file."""
        with self._starting:
            psutil.Process(self.server.pid).kill()
            until(lambda: not self.server.is_alive())
            self.server.start()

    def _start(self, name):
        password = urlsplit(self.server.url).password
        url = f"redis://:{password}@127.0.0.1:{self.relay.port}/0"
        variables = {
            "REDIS_URL": url,
            "DATA_DIR": self.data,
            "CHECKPOINT": self._checkpoint,
            "DEVICE": "cpu",
            "NUM_THREADS": 1,
            "GENERATE_SLOTS": 2,
            "UNDERSTAND_SLOTS": 1,
            "LEASE_SECONDS": LEASE_SECONDS,
            "BEAT_SECONDS": 1,
            "ENGINE_SILENCE_SECONDS": 5,
            "GRACE_SECONDS": 1,
            "PORT": self.port,
        }
        own = {f"UNIVIGU_{key}": value for key, value in variables.items()}
        with (self._folder / f"{name}.log").open("a") as log:
            self._processes[name] = psutil.Popen(
                [sys.executable, "-m", "server" if name == "api" else "worker"],
                env=environment(self.temporary, **own),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _keep(self):
        while not self._stopping.wait(0.1):
            with self._starting:
                for name, process in self._processes.items():
                    if process.poll() is not None:
                        self._start(name)


def _family(process):
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _command(process):
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def _lives_in(process, mark):
    try:
        return process.pid != os.getpid() and process.environ().get("TMPDIR") == mark
    except psutil.Error:
        return False


class Monkey:
    """Breaks one thing at a time, at random moments.

    Args:
        house: what to break.
        seed: of the order and the moments.
    """

    def __init__(self, house, seed):
        self._house, self._rng = house, random.Random(seed)

    def rampage(self, rounds, pause_seconds=1.5):
        """Do every act once per round, in random order."""
        acts = {
            "kill engine": lambda: self._kill("worker.engine"),
            "kill slot": lambda: self._kill("worker.slot"),
            "kill janitor": lambda: self._kill("worker.janitor"),
            "kill worker": lambda: self._house.top(self._rng.choice(WORKERS)).kill(),
            "kill API": lambda: self._house.top("api").kill(),
            "kill Redis": self._house.restart_redis,
            "cut connections": self._house.relay.cut,
            "pause slot": lambda: self._pause("worker.slot", LEASE_SECONDS + 2),
            "pause engine": lambda: self._pause("worker.engine", 2),
            "fill store": lambda: self._fill("worker.slot", 2),
        }
        for _ in range(rounds):
            for name in self._rng.sample([*acts], len(acts)):
                time.sleep(self._rng.uniform(0.2, 2 * pause_seconds))
                acts[name]()

    def _target(self, word):
        return until(lambda: self._house.pick(self._rng, word), 60)

    def _kill(self, word):
        with contextlib.suppress(psutil.NoSuchProcess):
            self._target(word).kill()

    def _pause(self, word, seconds):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = self._target(word)
            process.suspend()
            time.sleep(seconds)
            process.resume()

    def _fill(self, word, seconds):
        """Let a process write no file: the kernel refuses as it does on a full disk."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = self._target(word)
            before = process.rlimit(resource.RLIMIT_FSIZE)
            process.rlimit(resource.RLIMIT_FSIZE, (0, before[1]))
            time.sleep(seconds)
            process.rlimit(resource.RLIMIT_FSIZE, before)
