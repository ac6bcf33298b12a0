"""`python -m benchmarks.gpu`: a table for people, `benchmarks/out/gpu.json` for programs.

On a machine without a GPU, or with `--tiny`, it runs at toy sizes, to show that it runs. Exit code
0 when every row was measured and, at true sizes, kept its promise; else 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from benchmarks.gpu import caption, step, video
from benchmarks.gpu.budget import Budget, OutOfTime
from benchmarks.gpu.house import House
from benchmarks.gpu.report import Report
from benchmarks.gpu.shapes import TINY, Shapes
from benchmarks.paired import Row

RESULTS = Path(__file__).parents[1] / "out" / "gpu.json"


@dataclass(frozen=True)
class Bench:
    """Rows that are measured together."""

    names: tuple[str, ...]
    run: Callable[[House], Iterator[Row]]


#: in the order of their worth, those of one network together
BENCHES = (
    Bench(step.names("1.3b"), partial(step.run, "1.3b")),
    Bench(caption.NAMES, caption.run),
    Bench((video.DECODE,), video.decode),
    Bench((video.FOUR_STEPS,), video.four_steps),
    Bench(step.names("14b"), partial(step.run, "14b")),
)


def measure(bench: Bench, house: House, budget: Budget, report: Report) -> None:
    """Measure what can be measured; a failure costs no other bench."""
    reason = "it gave no such row"
    try:
        with budget.enforced():
            for row in bench.run(house):
                report.add(row)
    except (Exception, OutOfTime) as error:  # whatever it is, the next bench goes on
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    missing = [name for name in bench.names if not report.has(name)]
    for name in missing:
        report.leave_out(name, reason)
    if missing:
        house.forget()


def machine(device: torch.device, is_tiny: bool) -> dict[str, Any]:
    """Say what this runs on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "device": name,
        "sizes": "tiny, the figures mean nothing" if is_tiny else "true",
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


def main(arguments: list[str]) -> int:
    """Run every bench within the time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--seconds", type=float, default=450, help="of the whole run, default 450")
    parser.add_argument("--tiny", action="store_true", help="toy sizes; always so without a GPU")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    budget = Budget(options.seconds)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_tiny = options.tiny or device.type == "cpu"
    report = Report(options.out, machine(device, is_tiny), is_tiny)
    house = House(device, TINY if is_tiny else Shapes())
    for bench in BENCHES:
        sys.stderr.write(f"{', '.join(bench.names)} ...\n")
        measure(bench, house, budget, report)
    sys.stdout.write("\n".join(report.lines()) + "\n")
    kept = is_tiny or all(row.ok for row in report.rows)
    return 0 if kept and not report.not_run else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
