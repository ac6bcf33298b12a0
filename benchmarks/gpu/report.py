"""What was measured and what was not, on disk after every row, so that a kill loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.paired import Row
from benchmarks.written import write_json


class Report:
    """One run.

    Args:
        path: where the JSON goes, replaced after every row.
        machine: what it ran on.
        is_toy: whether the sizes were such that no figure means anything.
    """

    def __init__(self, path: Path, machine: dict[str, Any], is_toy: bool) -> None:
        self._path, self._machine, self._is_toy = path, machine, is_toy
        self.rows: list[Row] = []
        self.not_run: dict[str, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    def add(self, row: Row) -> None:
        """Keep a measured row."""
        self.rows.append(row)
        self._write()

    def leave_out(self, name: str, reason: str) -> None:
        """Keep the name of a row that could not be measured."""
        self.not_run[name] = reason
        self._write()

    def has(self, name: str) -> bool:
        """Whether a row of this name was measured."""
        return any(row.name == name for row in self.rows)

    def lines(self) -> Iterator[str]:
        """Yield a table for people."""
        yield ", ".join(f"{name} {value}" for name, value in self._machine.items())
        for row in self.rows:
            sense = ">=" if row.sense == "min" else "<="
            verdict = "toy" if self._is_toy else "ok" if row.ok else "MISSED"
            limit = f"{sense} {row.limit:g}"
            yield f"{verdict:8}{row.ratio:8.3g} {limit:>8}  {row.name}  ({row.detail})"
        for name, reason in self.not_run.items():
            yield f"{'not run':26}{name}: {reason}"

    def _write(self) -> None:
        rows = [row.as_json() | {"detail": row.detail} for row in self.rows]
        content = {"machine": self._machine, "rows": rows, "not_run": self.not_run}
        write_json(self._path, content)
