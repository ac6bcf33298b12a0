"""Looks after jobs that nobody holds: what a dead process dropped, and what nobody needs any more.

Any number of janitors may run; the one with the lock works. It never runs a job, and it takes no
live job from a slot: whatever it does, the record's attempt number decides who may write.
Run by the supervisor as `python -m worker.janitor RUN_FOLDER PARENT_PID`.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import redis
from obstore.exceptions import BaseError
from redis.exceptions import LockError
from rq.queue import Queue
from rq.registry import clean_registries
from rq.serializers import JSONSerializer
from rq.worker_registration import clean_worker_registry

from contract.artifacts import ArtifactStore
from contract.jobs import JobStore
from contract.queues import QUEUES
from worker.connection import connect
from worker.courier import Courier
from worker.file_retention import FileRetention
from worker.process import enter_child
from worker.reconciler import Reconciler
from worker.retention import Retention
from worker.run_folder import RunFolder
from worker.settings import WorkerSettings

log = logging.getLogger("worker.janitor")  # not `__main__`

_SWEEP_SECONDS = 1.0
_RETENTION_SECONDS = 60.0
#: what the courier gets to end what is under way
_COURIER_SECONDS = 4.0
_LOCK = "univigu:janitor"
#: a janitor that died is replaced after this
_LOCK_SECONDS = 10.0


class Janitor:
    """Sweeps while it holds the lock.

    Args:
        connection: Redis.
        artifacts: the store of what jobs made.
        settings: how long ended jobs are kept.
    """

    def __init__(
        self, connection: redis.Redis, artifacts: ArtifactStore, settings: WorkerSettings
    ) -> None:
        jobs = JobStore(connection)
        self._queues = {
            kind: Queue(kind, connection=connection, serializer=JSONSerializer) for kind in QUEUES
        }
        self._reconciler = Reconciler(connection, jobs, self._queues)
        self._retention = Retention(jobs, artifacts, settings.retention_days)
        self._files = FileRetention(connection, artifacts)
        self._lock = connection.lock(_LOCK, timeout=_LOCK_SECONDS, blocking=False)
        self._next_retention = 0.0

    def sweep(self) -> None:
        """Do one round, if no other janitor does."""
        if not self._leads():
            return
        for queue in self._queues.values():
            self._clean(queue)
        self._reconciler.sweep(time.monotonic())
        if time.monotonic() >= self._next_retention:
            self._next_retention = time.monotonic() + _RETENTION_SECONDS
            if self._retention.sweep(time.time()):
                self._next_retention = 0.0
            self._files.sweep(time.time())

    def leave(self) -> None:
        """Let another janitor lead at once."""
        if self._lock.owned():
            self._lock.release()

    def _leads(self) -> bool:
        try:
            self._lock.reacquire()
        except LockError:
            return bool(self._lock.acquire())
        return True

    def _clean(self, queue: Queue) -> None:
        try:
            clean_registries(queue)
            clean_worker_registry(queue)
        except redis.exceptions.RedisError:
            raise
        except Exception as error:  # rq raises what a job's callback raises; the round goes on
            log.error("queue %s: could not be cleaned", queue.name, exc_info=error)


def run(settings: WorkerSettings, stop: threading.Event) -> None:
    """Sweep every second, and deliver webhooks, until `stop` is set.

    A lost Redis or store is waited for.
    """
    janitor = Janitor(connect(settings), ArtifactStore(settings.artifacts_url), settings)
    courier = Courier(connect(settings), settings.allow_private_urls)
    delivering = threading.Thread(target=courier.run, args=[stop], name="courier", daemon=True)
    delivering.start()
    while not stop.wait(_SWEEP_SECONDS):
        try:
            janitor.sweep()
        except redis.exceptions.RedisError as error:
            log.error("no Redis: %s", error)
        except (BaseError, OSError) as error:
            log.error("no artifact store: %s", error)
    with suppress(redis.exceptions.RedisError):
        janitor.leave()
    delivering.join(_COURIER_SECONDS)


def main(run_folder: str, parent_pid: str) -> None:
    """Run as a child of the supervisor."""
    settings = RunFolder(Path(run_folder)).settings()
    enter_child(int(parent_pid), settings.log_level)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(settings, stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
