"""The engine process: the only one with a model.

Run by the supervisor as `python -m worker.engine RUN_FOLDER PARENT_PID PIPE`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import diffusers
import torch
import transformers

from contract.engine_status import EngineMemory
from worker.engine.device import peak_memory, used_memory
from worker.engine.pulse import Pulse
from worker.engine.runner import ModelRunner
from worker.engine.serve import serve
from worker.process import enter_child
from worker.run_folder import RunFolder


def main(run_folder: str, parent_pid: str, pipe: str) -> None:
    """Load, warm up and serve until told to stop."""
    run = RunFolder(Path(run_folder))
    settings = run.settings()
    enter_child(int(parent_pid), settings.log_level)
    diffusers.utils.logging.disable_progress_bar()  # a log is no terminal
    transformers.utils.logging.disable_progress_bar()
    with torch.inference_mode():
        try:
            runner = ModelRunner(settings)
        except (OSError, ValueError) as error:
            sys.exit(f"checkpoint {settings.checkpoint} cannot be served: {error}")
        runner.warm_up(run.path)
        admission = runner.admission()

        def measure() -> EngineMemory:
            used = used_memory()
            peak = max(used, peak_memory())  # without a GPU the kernel counts both roughly
            return EngineMemory(used=used, peak=peak, budget=admission.budget)

        serve(run, runner, runner.capabilities(), Pulse(int(pipe), measure), admission)


if __name__ == "__main__":
    main(*sys.argv[1:])
