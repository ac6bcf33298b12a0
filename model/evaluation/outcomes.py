"""What scores yield, and how many outcomes become one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypeVar

import numpy as np
from PIL import Image

from model.evaluation.checker import Frames

#: what stands in a confusion for an attribute that was not found at all
UNREADABLE = "unreadable"
_STILLS = 5
#: pixels of a still's longer side, enough to be looked at; thousands of clips are kept
_STILL_SIDE = 320

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """One thing that is right or wrong: which score, on which side of the hold-out."""

    score: str
    side: str
    truth: dict[str, str]
    found: dict[str, str]

    @property
    def right(self) -> dict[str, bool]:
        """Whether each attribute was found as it is."""
        return {name: self.found.get(name) == value for name, value in self.truth.items()}


@dataclass(frozen=True)
class Measure:
    """Figures of one clip."""

    name: str
    side: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Shot:
    """A clip to look at."""

    title: str
    stills: Frames  # (n, H, W, 3)
    #: what belongs to it, by name: the prompt, what a caption says
    texts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, title: str, frames: Frames, **texts: str) -> Shot:
        """Keep a few frames of a clip, the first and the last among them, in a modest size."""
        chosen = np.linspace(0, len(frames) - 1, min(_STILLS, len(frames))).round().astype(int)
        return cls(title, np.stack([_reduced(frames[i]) for i in chosen]), texts)


Outcome = Answer | Measure | Shot


def shares_right(answers: Iterable[Answer]) -> dict[str, dict[str, dict[str, float]]]:
    """Return {score: {side: {"all": share, attribute: share, ...}}} in the order of the answers."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for (score, side), group in _groups(answers, lambda a: (a.score, a.side)):
        marks = [answer.right for answer in group]
        shares = {"all": _mean([all(mark.values()) for mark in marks])}
        for name in dict.fromkeys(name for mark in marks for name in mark):
            shares[name] = _mean([mark[name] for mark in marks if name in mark])
        scores.setdefault(score, {})[side] = shares
    return scores


def mean_figures(measures: Iterable[Measure]) -> dict[str, dict[str, dict[str, float]]]:
    """Return {name: {side: {figure: mean over the clips that have it}}}."""
    means: dict[str, dict[str, dict[str, float]]] = {}
    for (name, side), group in _groups(measures, lambda m: (m.name, m.side)):
        figures = dict.fromkeys(name for measure in group for name in measure.figures)
        means.setdefault(name, {})[side] = {
            figure: _mean([m.figures[figure] for m in group if figure in m.figures])
            for figure in figures
        }
    return means


def confusions(answers: Iterable[Answer]) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """Return {score: {attribute: {true value: {found value: count}}}}, both sides together."""
    tables: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    for (score,), group in _groups(answers, lambda a: (a.score,)):
        counts = Counter(
            (name, value, answer.found.get(name, UNREADABLE))
            for answer in group
            for name, value in answer.truth.items()
        )
        table = tables.setdefault(score, {})
        for (name, true, found), count in sorted(counts.items()):
            table.setdefault(name, {}).setdefault(true, {})[found] = count
    return tables


def _reduced(frame: Frames) -> Frames:
    image = Image.fromarray(frame)
    image.thumbnail((_STILL_SIDE, _STILL_SIDE))
    return np.asarray(image)


def _groups(
    items: Iterable[T], key: Callable[[T], tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], list[T]]]:
    found: dict[tuple[str, ...], list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    yield from found.items()


def _mean(values: list[float] | list[bool]) -> float:
    return round(fmean(values), 4)
