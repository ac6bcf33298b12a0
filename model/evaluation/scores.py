"""The Moving Shapes scores of a checkpoint, each on both sides of the compositional hold-out.

Clips are rendered fresh from a seed that training never uses and passed through H.264; what is
true of a generated clip is decided by the pixel checker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import fingerprint
from model.evaluation import generation, understanding
from model.evaluation.outcomes import (
    Answer,
    Measure,
    Outcome,
    Shot,
    confusions,
    mean_figures,
    shares_right,
)
from model.evaluation.sampling import BatchSampler, Knobs
from model.evaluation.trial import SIDES, Trial
from model.pipeline import UniViGUPipeline

Score = Callable[[Trial], Iterator[Outcome]]

SCORES: dict[str, Score] = {
    "understand": understanding.understand,
    "understand_larger": understanding.understand_larger,
    "instruct": understanding.instruct,
    "tokens": understanding.tokens,
    "generate": generation.generate,
    "paraphrase": generation.paraphrase,
    "detailed": generation.detailed,
    "open": generation.open_prompts,
    "reconstruct": generation.reconstruct,
    "drift": generation.drift,
}
#: what can only be had with a checkpoint to compare with
_NEEDS_BASE = ("drift",)


@dataclass(frozen=True)
class Wanted:
    """What to evaluate, and how.

    Args:
        scores: names of `SCORES`; None for all that can be had.
        clips: clips per score and side of the hold-out.
        seed: of scenes and samples.
        base: the checkpoint that the evaluated one was trained from.
        knobs: how to sample.
        device: torch device; None for CUDA if there is one.
    """

    scores: Sequence[str] | None = None
    clips: int = 64
    seed: int = 0
    base: Path | None = None
    knobs: Knobs = field(default_factory=Knobs)
    device: str | None = None

    def chosen(self) -> list[str]:
        """Return the scores that are asked for.

        Raises:
            ValueError: naming a score that there is not, or that needs a base.
        """
        without = () if self.base else _NEEDS_BASE
        if self.scores is None:
            return [name for name in SCORES if name not in without]
        for name in self.scores:
            if name not in SCORES:
                raise ValueError(f"score {name!r}: must be one of {', '.join(SCORES)}")
            if name in without:
                raise ValueError(f"score {name!r}: needs a base checkpoint to compare with")
        return list(self.scores)


@dataclass(frozen=True)
class Evaluation:
    """Figures for a table and for programs, and clips to look at.

    `figures` has "clips", what `provenance` says, and "scores", "measures" and "confusions" as
    `model.evaluation.outcomes` makes them.
    """

    figures: dict[str, Any]
    shots: list[Shot]


def evaluate(
    checkpoint: Path,
    wanted: Wanted,
    on_progress: Callable[[str, int, int], None] = lambda score, done, total: None,
) -> Evaluation:
    """Score a Moving Shapes checkpoint.

    Args:
        checkpoint: checkpoint folder.
        wanted: which scores on how many clips.
        on_progress: called with (score, done, in all), where a score counts once per side.

    Raises:
        ValueError: for a score that cannot be had, or a checkpoint whose clips are not square.
    """
    names = wanted.chosen()
    model = load_sampler(checkpoint, wanted.knobs, wanted.device)
    base = load_sampler(wanted.base, wanted.knobs, wanted.device) if wanted.base else None
    if model.height != model.width:
        raise ValueError(f"clips of {model.width}x{model.height}: the moving shapes are square")
    seeds = range(wanted.seed, wanted.seed + wanted.clips)
    outcomes: list[Outcome] = []
    todo = [(name, side) for name in names for side in SIDES]
    for done, (name, side) in enumerate(todo):
        on_progress(name, done, len(todo))
        outcomes += SCORES[name](Trial(side, seeds, model, base))
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    figures = {
        **provenance(checkpoint, model, wanted.seed),
        "clips": wanted.clips,
        "scores": shares_right(answers),
        "measures": mean_figures(o for o in outcomes if isinstance(o, Measure)),
        "confusions": confusions(answers),
    }
    return Evaluation(figures, [outcome for outcome in outcomes if isinstance(outcome, Shot)])


def provenance(checkpoint: Path, sampler: BatchSampler, seed: int) -> dict[str, Any]:
    """Return where figures come from: "checkpoint" with its fingerprint, "seed", "sampling"."""
    name = f"{checkpoint.resolve().name}@{fingerprint(checkpoint)}"
    return {"checkpoint": name, "seed": seed, "sampling": sampler.settings()}


def load_sampler(checkpoint: Path, knobs: Knobs, device: str | None) -> BatchSampler:
    """Load a checkpoint, in bfloat16 on CUDA and in float32 elsewhere, as the service does.

    Args:
        checkpoint: checkpoint folder.
        knobs: how to sample.
        device: torch device; None for CUDA if there is one.

    Raises:
        OSError: if the folder is no checkpoint, or a part of it is missing.
        ValueError: if there is no such device.
    """
    place = _device(device)
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    pipeline = UniViGUPipeline.from_pretrained(checkpoint, dtype=dtype).to(place)
    return BatchSampler(pipeline, knobs)


def _device(name: str | None) -> torch.device:
    has_cuda = torch.cuda.is_available()
    try:
        device = torch.device(name or ("cuda" if has_cuda else "cpu"))
    except RuntimeError as error:
        raise ValueError(f"device {name!r}: {error}") from error
    if device.type == "cuda" and not has_cuda:
        raise ValueError(f"device {name!r}: there is no CUDA here")
    return device
