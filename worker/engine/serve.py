"""What an engine process does around its loop: the socket, the signals and the proof of life."""

from __future__ import annotations

import signal

from contract.requests import Capabilities
from contract.tracing import tracing
from worker.engine.admission import Admission
from worker.engine.loop import Loop, Runner
from worker.engine.pulse import Pulse
from worker.protocol import new_socket
from worker.run_folder import RunFolder

_BACKLOG = 128
#: slots hand their jobs back when their grace is over; the engine outlasts that
_MARGIN_SECONDS = 2.0


def serve(
    run: RunFolder,
    runner: Runner,
    capabilities: Capabilities,
    pulse: Pulse,
    admission: Admission | None = None,
) -> None:
    """Open the socket, say that the engine is warm, and serve until SIGTERM.

    Args:
        run: where the socket goes.
        runner: the warm model.
        capabilities: what it can do.
        pulse: the pipe to the supervisor.
        admission: says when a job may begin; without one, at once.
    """
    listener = new_socket()
    run.socket_path.unlink(missing_ok=True)
    listener.bind(str(run.socket_path))
    listener.listen(_BACKLOG)
    loop = Loop(listener, runner, pulse.beat, admission)
    patience = run.settings().grace_seconds + _MARGIN_SECONDS
    signal.signal(signal.SIGTERM, lambda *_: loop.stop(patience))
    pulse.warm(capabilities)
    with tracing("univigu-engine", **{"univigu.checkpoint": capabilities.checkpoint}), listener:
        loop.run()
