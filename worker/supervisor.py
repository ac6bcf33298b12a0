"""Starts engine, slots and janitor, keeps them running, and ends them in order.

It holds no job and no model. Slots start when the engine is warm for the first time; from then on
they wait for its restarts by themselves, with their jobs.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress

import redis

from contract.engine_status import BEAT_TTL_SECONDS, beat, publish_capabilities, retract
from contract.queues import Kind
from contract.requests import Capabilities
from worker.child import Child, stop_all
from worker.connection import connect
from worker.engine_child import EngineChild
from worker.process import die_with_parent, start_logging
from worker.run_folder import RunFolder, remove_abandoned
from worker.settings import WorkerSettings
from worker.signing import read_signer

log = logging.getLogger(__name__)

ENGINE = ("-m", "worker.engine")

_TICK_SECONDS = 0.2
_SIGN_SECONDS = BEAT_TTL_SECONDS / 4
#: no call to Redis may keep the supervisor from its children for longer
_REDIS_SECONDS = 2.0
#: after the slots' grace, until they are killed: a poll of the queue and the hand-back
_STOP_SLOTS_SECONDS = 5.0
_STOP_ENGINE_SECONDS = 7.0


class Supervisor:
    """One worker: an engine with its slots.

    Args:
        settings: what to run.
        engine: arguments of the interpreter for the engine process.
    """

    def __init__(self, settings: WorkerSettings, engine: Sequence[str] = ENGINE) -> None:
        self._settings = settings
        self._redis = connect(settings, retry=None, socket_timeout=_REDIS_SECONDS)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._shown: Capabilities | None = None
        self._was_warm = False
        self._next_sign = 0.0
        self._is_told_to_stop = False
        remove_abandoned()
        self._run, self._lock = RunFolder.create(settings)
        place = [str(self._run.path), str(os.getpid())]
        self._engine = EngineChild([*engine, *place], [self._lock], settings)
        self._janitor = Child("janitor", ["-m", "worker.janitor", *place], [self._lock])
        self._slots = [
            Child(name, ["-m", "worker.slot", *place, kind, name], [self._lock])
            for kind, name in _slots(settings)
        ]

    def stop(self) -> None:
        """Make `run` end its children and return; callable from a signal handler."""
        self._is_told_to_stop = True

    def run(self) -> None:
        """Supervise until told to stop."""
        try:
            while not self._is_told_to_stop:
                self._tend()
                select.select([self._engine], [], [], _TICK_SECONDS)
        finally:
            self._shut_down()

    def _tend(self) -> None:
        self._engine.tend()
        self._janitor.keep_alive()
        capabilities = self._engine.capabilities
        if capabilities != self._shown:
            self._show(capabilities)
        if capabilities is not None and time.monotonic() >= self._next_sign:
            self._next_sign = time.monotonic() + _SIGN_SECONDS
            self._sign(capabilities)
            remove_abandoned()  # children of a killed supervisor may outlive the next one's start
        if self._was_warm:
            for slot in self._slots:
                slot.keep_alive()

    def _show(self, capabilities: Capabilities | None) -> None:
        self._shown = capabilities
        if capabilities is not None:
            self._was_warm = True
            self._run.write_capabilities(capabilities)
            log.info("the engine is warm with %s", capabilities.checkpoint)
            self._next_sign = 0.0
        else:
            self._retract()

    def _sign(self, capabilities: Capabilities) -> None:
        try:
            publish_capabilities(self._redis, capabilities)
            beat(self._redis, self._name, self._engine.memory)
        except redis.exceptions.RedisError as error:
            log.error("no Redis to be ready in: %s", error)

    def _retract(self) -> None:
        with suppress(redis.exceptions.RedisError):  # it expires by itself
            retract(self._redis, self._name)

    def _shut_down(self) -> None:
        self._retract()
        stop_all(self._slots, self._settings.grace_seconds + _STOP_SLOTS_SECONDS)
        stop_all([self._janitor], _STOP_SLOTS_SECONDS)
        stop_all([self._engine.child], _STOP_ENGINE_SECONDS)
        self._engine.close()
        self._run.remove()
        os.close(self._lock)


def _slots(settings: WorkerSettings) -> Iterator[tuple[Kind, str]]:
    for number in range(settings.generate_slots):
        yield "generate", f"generate-{number}"
    for number in range(settings.understand_slots):
        yield "understand", f"understand-{number}"


def main(
    settings: WorkerSettings, parent_pid: int | None = None, engine: Sequence[str] = ENGINE
) -> None:
    """Run a worker until SIGTERM or SIGINT.

    Args:
        settings: what to run.
        parent_pid: end when this process, which started this one, ends.
        engine: arguments of the interpreter for the engine process.

    Raises:
        ValueError: if videos are to be signed and cannot be.
    """
    start_logging(settings.log_level)
    if signer := read_signer(settings):
        signer.check()
    supervisor = Supervisor(settings, engine)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    if parent_pid is not None:
        die_with_parent(parent_pid)
    supervisor.run()
