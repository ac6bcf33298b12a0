"""The HTTP process as it is started in earnest, to be killed and started again."""

import os
import signal
import socket
import sys
import time

import httpx2
import psutil

from server.settings import ServerSettings

START_SECONDS = 60


class ServerProcess:
    """`python -m server`, with further settings as environment variables."""

    def __init__(self, settings: ServerSettings, **variables: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        own = {
            "UNIVIGU_REDIS_URL": settings.redis_url or "",
            "UNIVIGU_DATA_DIR": str(settings.data_dir),
            "UNIVIGU_PORT": str(self.port),
        }
        self._environment = os.environ | own | variables
        self.start()

    def start(self) -> None:
        """Start it, and return once it answers."""
        self.child = psutil.Popen([sys.executable, "-m", "server"], env=self._environment)
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self.child.poll() is None, "the server has ended"
            try:
                assert httpx2.get(f"{self.url}/healthz").status_code == 200
                return
            except httpx2.TransportError:
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.05)

    def kill(self) -> None:
        """End it as a lost machine would."""
        if self.child.is_running():
            self.child.send_signal(signal.SIGKILL)
        self.child.wait()
