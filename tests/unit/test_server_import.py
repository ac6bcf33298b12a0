"""The HTTP process starts in about a second, so it must never load a model's libraries."""

import subprocess
import sys

HEAVY = ("torch", "diffusers", "transformers", "model", "worker", "numpy", "av")


def test_the_app_imports_nothing_of_the_gpu_side() -> None:
    program = f"import sys, server.run; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == "[]"
