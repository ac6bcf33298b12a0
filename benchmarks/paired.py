"""Two things timed in turn within one run, so that a busy machine weighs on both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

#: does something once and returns the seconds that count
Timed = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One promise and what was measured."""

    name: str
    ratio: float
    limit: float
    sense: Literal["min", "max"]
    #: for people: what the ratio was made of
    detail: str

    @property
    def ok(self) -> bool:
        """Whether the ratio is on the promised side of the limit; NaN is on neither."""
        return self.ratio >= self.limit if self.sense == "min" else self.ratio <= self.limit

    def as_json(self) -> dict[str, Any]:
        """Return what programs read."""
        fields = asdict(self)
        del fields["detail"]
        return fields | {"ok": self.ok}


@dataclass(frozen=True)
class Pairs:
    """Seconds of both sides, pair by pair."""

    over: list[float]
    under: list[float]

    @property
    def ratio(self) -> float:
        """Median over the pairs of over / under."""
        return median(one / other for one, other in zip(self.over, self.under, strict=True))

    def describe(self, over: str, under: str) -> str:
        """Return both medians in words."""
        times = f"{over} {_shown(median(self.over))}, {under} {_shown(median(self.under))}"
        return f"{times}, {len(self.over)} pairs"


def timed(function: Callable[[], object]) -> Timed:
    """Return the wall time of a call as a function."""

    def seconds() -> float:
        started = time.perf_counter()
        function()
        return time.perf_counter() - started

    return seconds


def interleave(over: Timed, under: Timed, pairs: int) -> Pairs:
    """Run both `pairs` times in turn, each going first in every other pair.

    Args:
        over: the ratio's numerator.
        under: its denominator.
        pairs: how many of each.
    """
    measured = Pairs([], [])
    sides = [(over, measured.over), (under, measured.under)]
    for _ in range(pairs):
        for run, seconds in sides:
            seconds.append(run())
        sides.reverse()
    return measured


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
