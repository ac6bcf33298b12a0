"""What an evaluation found, as tables for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Column, Table

#: {side: {column: figure}}
Sides = dict[str, dict[str, float]]

#: pairs of values that were mixed up, at most this many per score
_MOST_MISTAKES = 5
_SHARES = ("area_flicker", "still_flicker", "different", "sigma")


def print_figures(figures: dict[str, Any]) -> None:
    """Print shares of what was right, means of what was measured, and what was mixed up."""
    console = Console()
    if "scores" in figures:
        console.print(_table("right, in percent", figures["scores"], as_share=True))
    for measures in _alike(figures["measures"]):
        console.print(_table("mean", measures, as_share=False))
    for kind in ("skipped", "unjudged"):
        for line in figures.get(kind, []):
            console.print(f"{kind}: {line['place']}: {line['error']}", markup=False)
    if mistakes := _mistakes(figures.get("confusions", {})):
        table = Table("score", "attribute", "true", "found", "clips", title="mixed up most often")
        for row in mistakes:
            table.add_row(*row)
        console.print(table)


def _alike(measures: dict[str, Sides]) -> list[dict[str, Sides]]:
    """Return the measures in groups that share their first column."""
    groups: dict[str, dict[str, Sides]] = {}
    for name, sides in measures.items():
        first = next(column for figures in sides.values() for column in figures)
        groups.setdefault(first, {})[name] = sides
    return list(groups.values())


def _table(title: str, figures: dict[str, Sides], as_share: bool) -> Table:
    rows = [(name, side, found) for name, sides in figures.items() for side, found in sides.items()]
    columns = list(dict.fromkeys(column for _, _, found in rows for column in found))
    heads = [column.replace("_", " ") for column in columns]
    table = Table(Column("score", no_wrap=True), Column("side", no_wrap=True), *heads, title=title)
    for name, side, found in rows:
        cells = [_cell(column, found.get(column), as_share) for column in columns]
        table.add_row(name, side.replace("_", " "), *cells)
    return table


def _cell(column: str, value: float | None, as_share: bool) -> str:
    if value is None:
        return ""
    if column.startswith(_SHARES):
        return f"{value:.1%}"
    return f"{100 * value:.1f}" if as_share else f"{value:.2f}"


def _mistakes(confusions: dict[str, dict[str, dict[str, dict[str, int]]]]) -> list[list[str]]:
    rows = []
    for score, attributes in confusions.items():
        if score.startswith(("understand_shuffled", "understand_no_video")):
            continue  # controls, which are to be wrong
        wrong = [
            (count, name, true, found)
            for name, table in attributes.items()
            for true, counts in table.items()
            for found, count in counts.items()
            if found != true
        ]
        for count, name, true, found in sorted(wrong, reverse=True)[:_MOST_MISTAKES]:
            rows.append([score, name, true, found, str(count)])
    return rows
