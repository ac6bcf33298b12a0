"""`python -m benchmarks.ablations [QUESTION...]`: tables for people, `ablations.json` for programs.

What was measured stays in the folder and is not measured again, so a run that was stopped goes on,
and another checkpoint is asked only what concerns checkpoints.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from diffusers.utils.logging import disable_progress_bar
from rich.console import Console

from benchmarks.ablations.questions import QUESTIONS, Bench
from benchmarks.ablations.tables import Comparison
from benchmarks.written import write_json

CHECKPOINT = Path(__file__).parents[2] / "model" / "checkpoints" / "moving-shapes"
FOLDER = Path(__file__).parents[1] / "out" / "ablations"


def ask(bench: Bench, names: list[str], repetitions: int, console: Console) -> None:
    """Answer questions, one repetition of all before the next, and write down what is known."""
    for repetition in range(repetitions):
        for name in names:
            for variant in QUESTIONS[name].variants:
                started = time.monotonic()
                bench.answer(name, variant, repetition)
                seconds = time.monotonic() - started
                if seconds > 1:  # else it was there already
                    console.print(f"{name}: {variant}, {repetition}: {seconds:.0f} s", style="dim")
            write(name, compare(bench, name, repetition + 1), bench.folder / "ablations.json")


def compare(bench: Bench, name: str, repetitions: int) -> Comparison:
    """Return the comparison of a question that was answered."""
    question = QUESTIONS[name]
    found = {
        variant: [bench.answer(name, variant, i) for i in range(repetitions)]
        for variant in question.variants
    }
    return Comparison(question.title, found)


def write(name: str, comparison: Comparison, path: Path) -> None:
    """Put a question's figures beside those of other questions in a JSON file."""
    summary = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, summary | {name: comparison.as_json()})


def main(arguments: list[str]) -> None:
    """Answer the named questions, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations")
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--repetitions", type=int, default=3, help="seeds of each variant")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="where none is trained")
    parser.add_argument("--clips", type=int, default=24, help="per side, asked of the checkpoint")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of all that is kept")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.questions) - set(QUESTIONS)):
        parser.error(f"no question {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    torch.set_num_threads(options.threads)
    disable_progress_bar()
    console = Console()
    bench = Bench(options.out, options.checkpoint, options.clips)
    names = options.questions or list(QUESTIONS)
    ask(bench, names, options.repetitions, console)
    for name in names:
        console.print(compare(bench, name, options.repetitions).table())


if __name__ == "__main__":
    main(sys.argv[1:])
