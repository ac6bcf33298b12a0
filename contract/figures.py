"""What became of all jobs so far: counts and histograms that the transitions keep in Redis.

They are the same for every process that asks, and survive each of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import redis

from contract.jobs import FIGURES_KEY
from contract.transitions import BUCKETS

_BOUNDS = (*BUCKETS, "+Inf")


@dataclass
class Histogram:
    """Observed seconds: how many fell at or below each bound, cumulated, and their sum."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_BOUNDS, 0))
    sum: float = 0.0

    def cumulated(self) -> list[tuple[str, float]]:
        """Return (upper bound, observations up to it), the last bound being `+Inf`."""
        total, pairs = 0, []
        for bound in _BOUNDS:
            total += self.counts[bound]
            pairs.append((bound, float(total)))
        return pairs

    @property
    def mean(self) -> float | None:
        """The average; None before the first observation."""
        count = sum(self.counts.values())
        return self.sum / count if count else None


@dataclass
class Figures:
    """Of all jobs that have ended."""

    #: (kind, final status, error code or "") -> jobs
    ended: dict[tuple[str, str, str], int] = field(default_factory=dict)
    #: kind -> seconds from creation to the first start
    wait: dict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    #: kind -> seconds from the first start to completion
    run: dict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    #: (kind, stage) -> seconds
    stage: dict[tuple[str, str], Histogram] = field(default_factory=lambda: defaultdict(Histogram))


def mean_fields(kind: str) -> list[str]:
    """Return the fields of the Redis hash from which `parse_mean` tells how long jobs ran."""
    return [f"run|{kind}|sum", f"ended|{kind}|completed|"]


def parse_mean(values: list[bytes | None]) -> float | None:
    """Return the seconds that a job of a kind ran on average; None before the first that ended."""
    total, count = values
    return float(total) / int(count) if total and count else None


def parse_figures(values: dict[bytes, bytes]) -> Figures:
    """Return the figures of a Redis hash."""
    figures = Figures()
    for key, value in values.items():
        family, kind, *rest = key.decode().split("|")
        if family == "ended":
            status, code = rest
            figures.ended[kind, status, code] = int(value)
            continue
        if family == "stage":
            histogram = figures.stage[kind, rest[0]]
        else:
            histogram = {"wait": figures.wait, "run": figures.run}[family][kind]
        if rest[-1] == "sum":
            histogram.sum = float(value)
        else:
            histogram.counts[rest[-1]] = int(value)
    return figures


def read_figures(connection: redis.Redis) -> Figures:
    """Return the figures as they stand."""
    values: Any = connection.hgetall(FIGURES_KEY)
    return parse_figures(values)
