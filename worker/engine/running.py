"""One job in the engine: its connection to a slot and the steps that are left of it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from contract.queues import Kind
from worker.engine.sharing import SharedStep
from worker.engine.spans import JobSpans
from worker.protocol import Done, Failed, Preview, Progress, Start

log = logging.getLogger(__name__)

#: the steps of a job: progress after each one, `Done` as the last; before a step that may be taken
#: together with other jobs, that step
Steps = Generator[Progress | Preview | Done | SharedStep[Any, Any], None, None]


class RunningJob:
    """A started job.

    Args:
        connection: to the slot; non-blocking.
        start: what was asked.
        steps: advances the work.
    """

    def __init__(self, connection: socket.socket, start: Start, steps: Steps) -> None:
        self.connection, self.start, self.steps = connection, start, steps
        self.spans = JobSpans(start)
        #: when it was advanced last, in turns of the engine, and how long that took
        self.last_turn, self.step_seconds = 0, 0.0
        #: what it does next, where that can be done together with other jobs
        self.shared: SharedStep[Any, Any] | None = None
        #: whether its memory is there, and how many began while it waited for that
        self.is_let_in, self.overtaken = False, 0
        #: the message that ends the job, until the slot has taken it
        self.final: Done | Failed | None = None

    @property
    def kind(self) -> Kind:
        """The kind of work."""
        return self.start.request.kind

    def report(self, message: Progress | Preview) -> None:
        """Tell the slot, unless it is too busy to listen: the next step tells more."""
        if isinstance(message, Progress):
            self.spans.note(message)
        with suppress(OSError):
            self.connection.send(message.encode())

    def deliver_final(self) -> bool:
        """Offer the last message; False if the slot cannot take it yet."""
        assert self.final is not None
        try:
            self.connection.send(self.final.encode())
        except BlockingIOError:
            return False
        except OSError:
            pass  # the slot is gone, and has no use for the message
        return True

    def close(self) -> None:
        """Stop the work and free what it holds."""
        self.spans.end(self.final)
        self.connection.close()
        try:
            self.steps.close()
        except Exception as error:  # the job boundary, as for a step
            log.error("job %s: failed to stop cleanly", self.start.id, exc_info=error)
