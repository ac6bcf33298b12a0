"""Repetitions summed up: a table for people, and the same for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from rich.table import Table

from benchmarks.ablations.kept import Figures


@dataclass(frozen=True)
class Spread:
    """One figure over its repetitions; `sd` is None of a single one."""

    mean: float
    sd: float | None
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up values, at least one."""
        sd = stdev(values) if len(values) > 1 else None
        return cls(fmean(values), sd, min(values), max(values))

    def __str__(self) -> str:
        spread = "" if self.sd is None else f" ±{self.sd:.2g}"
        return f"{self.mean:.3g}{spread}"


@dataclass(frozen=True)
class Comparison:
    """All repetitions of all variants of a question.

    Args:
        title: the question.
        found: figures by variant, one per repetition and in the same order.
    """

    title: str
    found: dict[str, list[Figures]]

    def spread(self, variant: str, figure: str) -> Spread | None:
        """Return a figure of a variant, None if it has none in any repetition."""
        values = [figures[figure] for figures in self.found[variant] if figure in figures]
        return Spread.of(values) if values else None

    def difference(self, variant: str, figure: str) -> Spread | None:
        """Return by how much a variant is above the first, repetition by repetition."""
        first = next(iter(self.found.values()))
        pairs = zip(self.found[variant], first, strict=True)
        values = [
            ours[figure] - base[figure] for ours, base in pairs if {figure} <= {*ours} & {*base}
        ]
        return Spread.of(values) if values else None

    def figures(self) -> list[str]:
        """Return the names of all figures, in the order of their first appearance."""
        rows = [figures for rows in self.found.values() for figures in rows]
        return list(dict.fromkeys(name for figures in rows for name in figures))

    def table(self) -> Table:
        """Return the table: mean and standard deviation, and the difference from the first."""
        first, *others = self.found
        repetitions = len(self.found[first])
        table = Table("figure", first, title=f"{self.title} ({repetitions} repetitions)")
        for variant in others:
            table.add_column(variant)
            table.add_column("difference", style="dim")
        for figure in self.figures():
            cells = [_cell(self.spread(first, figure))]
            for variant in others:
                cells.append(_cell(self.spread(variant, figure)))
                cells.append(_cell(self.difference(variant, figure)))
            table.add_row(figure, *cells)
        return table

    def as_json(self) -> dict[str, Any]:
        """Return {variant: {figure: {mean, sd, least, most, difference}}}."""
        return {
            variant: {name: self._entry(variant, name) for name in self.figures()}
            for variant in self.found
        }

    def _entry(self, variant: str, figure: str) -> dict[str, Any] | None:
        spread, difference = self.spread(variant, figure), self.difference(variant, figure)
        if spread is None:
            return None
        return asdict(spread) | {"difference": None if difference is None else asdict(difference)}


def _cell(spread: Spread | None) -> str:
    return "" if spread is None else str(spread)
