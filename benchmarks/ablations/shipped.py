"""What needs no training: questions to a whole checkpoint, answered by its evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablations.cost import measure_costs
from benchmarks.ablations.kept import Figures, kept
from model.checkpoint import fingerprint
from model.evaluation import Knobs, Wanted, evaluate
from model.evaluation.captions import parse_caption
from model.evaluation.outcomes import Answer, shares_right
from model.evaluation.sampling import BatchSampler
from model.evaluation.trial import ATTRIBUTES, SIDES, Trial, named
from model.pipeline import UniViGUPipeline

TEXT_STEPS = (1, 2, 4, 8, 16, 32)
#: repetitions share no scene and no noise
_SEED_STRIDE = 100_000
#: room for what captions need of every clip, which is the same for any number of steps
_CLIP_BYTES = 2 << 30


@dataclass(frozen=True)
class Shipped:
    """A checkpoint, and how much it is asked.

    Args:
        checkpoint: its folder.
        folder: of results.
        clips: per side of the hold-out and repetition.
    """

    checkpoint: Path
    folder: Path
    clips: int

    def text_steps(self, steps: str, repetition: int) -> Figures:
        """Return the shares right of captions made in so many steps, on both sides."""
        found = self._kept("text_steps", repetition, lambda: self._captioned(repetition))
        return flat(found[steps])

    def captions(self, score: str, repetition: int) -> Figures:
        """Return how captions made along (`joint`) or afterwards agree with their clips."""
        return flat(self._evaluated(repetition)["scores"][score])

    def failures(self, score: str, repetition: int) -> Figures:
        """Return the share right of every value of every attribute, and how clips are made."""
        found = self._evaluated(repetition)
        figures = flat(found["measures"].get(score, {}))
        for name, table in found["confusions"].get(score, {}).items():
            for value, counts in table.items():
                figures[f"{name} {value}"] = counts.get(value, 0) / sum(counts.values())
        return figures

    def costs(self, part: str, repetition: int) -> Figures:
        """Return operations, seconds and bytes of a part of the work."""
        found = self._kept("costs", repetition, lambda: measure_costs(self._pipeline()))
        figures: Figures = found[part]
        return figures

    def _kept(self, name: str, repetition: int, make: Callable[[], Any]) -> Any:
        definition = {"checkpoint": fingerprint(self.checkpoint), "clips": self.clips}
        return kept(self.folder, f"{name}-{repetition}", definition, make)

    def _evaluated(self, repetition: int) -> Any:
        scores = ("understand", "generate", "reconstruct")
        wanted = Wanted(scores, self.clips, repetition * _SEED_STRIDE)
        return self._kept("evaluation", repetition, lambda: self._figures(wanted))

    def _figures(self, wanted: Wanted) -> dict[str, Any]:
        return evaluate(self.checkpoint, wanted).figures

    def _captioned(self, repetition: int) -> dict[str, Any]:
        pipeline = self._pipeline()
        pipeline.clips.limit(_CLIP_BYTES)
        start = repetition * _SEED_STRIDE
        answers: list[Answer] = []
        for side in SIDES:
            samplers = {k: BatchSampler(pipeline, Knobs(understand_steps=k)) for k in TEXT_STEPS}
            trial = Trial(side, range(start, start + self.clips), samplers[1])
            clips, truth = trial.clips(), [named(scene, ATTRIBUTES) for scene in trial.scenes]
            for steps, sampler in samplers.items():
                texts = sampler.understand(clips, trial.seeds)
                for true, text in zip(truth, texts, strict=True):
                    answers.append(Answer(str(steps), side, true, parse_caption(text)))
        return shares_right(answers)

    def _pipeline(self) -> UniViGUPipeline:
        pipeline: UniViGUPipeline = UniViGUPipeline.from_pretrained(
            self.checkpoint, dtype=torch.float32
        )
        return pipeline


def flat(sides: dict[str, dict[str, float]]) -> Figures:
    """Return figures by name and side."""
    return {
        f"{name.replace('_', ' ')}, {side.replace('_', ' ')}": value
        for side, figures in sides.items()
        for name, value in figures.items()
    }
