"""The engine's real loop on its real socket around jobs that are done at once, or by a sleep.

Run as `python -m benchmarks.instant_engine RUN_FOLDER PARENT_PID PIPE [SECONDS]`, the way a
supervisor would.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from contract.requests import Capabilities
from worker.engine.pulse import Pulse
from worker.engine.running import Steps
from worker.engine.serve import serve
from worker.process import enter_child
from worker.protocol import SPRITESHEET_FILE, THUMBNAIL_FILE, VIDEO_FILE, Done, Failed, Start
from worker.run_folder import RunFolder

CAPABILITIES = Capabilities(
    checkpoint="instant@0",
    sizes=[(16, 16)],
    max_num_frames=1,
    default_num_frames=1,
    fps=1,
    default_num_inference_steps=1,
    default_understand_steps=1,
    max_num_inference_steps=1,
    default_guidance_scale=1.0,
    temporal_compression=4,
    max_prompt_tokens=1,
)


class Instant:
    """Answers every video job with empty files, after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def start(self, start: Start) -> Steps:
        """Yield the end of the job."""
        time.sleep(self._seconds)
        for name in (VIDEO_FILE, THUMBNAIL_FILE, SPRITESHEET_FILE):
            (start.workdir / name).touch()
        yield Done(text=None, seed=start.request.seed, stage_durations={})

    def explain(self, error: Exception) -> Failed:
        """Say what went wrong."""
        return Failed(code="internal_error", message=str(error))


def main(run_folder: str, parent_pid: str, pipe: str, seconds: str = "0") -> None:
    """Serve until SIGTERM."""
    enter_child(int(parent_pid), "WARNING")
    serve(RunFolder(Path(run_folder)), Instant(float(seconds)), CAPABILITIES, Pulse(int(pipe)))


if __name__ == "__main__":
    main(*sys.argv[1:])
