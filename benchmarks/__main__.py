"""`python -m benchmarks [NAME...]`: a table for people, `benchmarks/out/bench.json` for programs.

Exit code 0 when every ratio keeps its promise, 1 when one does not or was not measured, 2 for an
unknown name.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.paired import Row
from benchmarks.written import write_json

#: each a module with `run() -> list[Row]`, imported when its turn comes
NAMES = (
    "captioning",
    "together",
    "joint",
    "step",
    "tuned",
    "pipeline",
    "sampler",
    "mixed",
    "dispatch",
    "serving",
    "encoding",
)
#: promised and not measured, and why; shown apart, never among the results
NOT_RUN = {
    "every ratio at 1.3B and 14B, 480p": "it needs a GPU: python -m benchmarks.gpu",
}
RESULTS = Path(__file__).with_name("out") / "bench.json"


def measure(names: list[str], console: Console) -> tuple[list[Row], dict[str, str]]:
    """Run benchmarks in turn, saying which; one that fails costs no other.

    Returns:
        What was measured, and why the others were not, by name.
    """
    torch.set_num_threads(1)  # more only wait for each other where the cores are busy
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for name in names:
        console.print(f"{name} ...", style="dim")
        torch.compiler.reset()  # else what one has compiled makes the next one's shapes dynamic
        try:
            rows += import_module(f"benchmarks.{name}").run()
        except Exception as error:  # whatever it is, it is told in the table
            failures[name] = f"{type(error).__name__}: {error}"
    return rows, failures


def show(rows: list[Row], missing: dict[str, str], console: Console) -> None:
    """Print what was measured, and apart what was not, and why."""
    table = Table("ratio of", "measured", "limit", "", "made of", title="one run, same machine")
    for row in rows:
        limit = f"{'>=' if row.sense == 'min' else '<='} {row.limit:g}"
        verdict = "[green]ok[/]" if row.ok else "[red]MISSED[/]"
        table.add_row(row.name, f"{row.ratio:.3g}", limit, verdict, row.detail)
    console.print(table)
    left_out = Table("not run", "because")
    for name, reason in missing.items():
        left_out.add_row(name, escape(reason))
    console.print(left_out)


def write(rows: list[Row], failures: dict[str, str], path: Path) -> None:
    """Write the ratios as JSON, and what failed as not ok, replacing an earlier run's."""
    unknown = {"ratio": None, "limit": None, "sense": None, "ok": False}
    failed = [{"name": name} | unknown | {"error": why} for name, why in failures.items()]
    write_json(path, [row.as_json() for row in rows] + failed)


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args(arguments).names
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    console = Console()
    rows, failures = measure(names or list(NAMES), console)
    show(rows, failures | NOT_RUN, console)
    write(rows, failures, RESULTS)
    return 0 if all(row.ok for row in rows) and not failures else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
