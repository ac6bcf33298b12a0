"""The `univigu` command as a user runs it: real processes, each with its own folders."""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
#: one for all commands of a session, and none of the user's
_INDEX_FOLDER = tempfile.mkdtemp(prefix="univigu-index-")
atexit.register(shutil.rmtree, _INDEX_FOLDER, ignore_errors=True)


def environment(temporary, **variables):
    """Return an environment without settings of the outside, one thread per process."""
    outside = {name: text for name, text in os.environ.items() if not name.startswith("UNIVIGU_")}
    own = {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    own |= {"UNIVIGU_INDEX": f"{_INDEX_FOLDER}/captions.db"}
    return outside | own | {name: str(value) for name, value in variables.items()}


def univigu(*arguments, seconds=120, **variables):
    """Run a command to its end; `variables` are environment variables."""
    temporary = variables.pop("TMPDIR", os.environ.get("TMPDIR", "/tmp"))
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        env=environment(temporary, **variables),
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def json_rows(run):
    """Return the objects on stdout, which must be nothing but one JSON object per line."""
    return [json.loads(line) for line in run.stdout.splitlines()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """`univigu serve` in a session of its own, as in a terminal."""

    def __init__(self, folder, checkpoint, **variables):
        self.temporary, self.data = folder / "t", folder / "data"
        self.temporary.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        place = ["--port", str(self.port), "--data-dir", str(self.data)]
        self.process = psutil.Popen(
            [sys.executable, "-m", "cli.main", "serve", *place, "--checkpoint", str(checkpoint)],
            env=environment(self.temporary, **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.wait_for_line("ready: ", 120)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for_line(self, start, seconds=30):
        """Return the first line printed that begins like this."""

        def found():
            return next((line for line in [*self.lines] if line.startswith(start)), None)

        return until(lambda: found() or (self.process.poll() is not None and "ended"), seconds)

    def family(self):
        return [self.process, *self.process.children(recursive=True)]

    def child(self, word):
        """Return the child whose command line has this word."""
        return next(p for p in self.process.children() if word in " ".join(p.cmdline()))

    def interrupt(self):
        """Press Ctrl-C: the signal goes to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except psutil.TimeoutExpired:
                for process in self.family():
                    process.kill()
        self._reader.join(10)
        self.process.stdout.close()


def until(condition, seconds=30.0):
    """Return what `condition` gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.05)
    return answer
