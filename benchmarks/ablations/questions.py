"""What is asked, in the order of the tables, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.ablations.arms import ARMS, RECIPE, SMALL
from benchmarks.ablations.cost import PARTS
from benchmarks.ablations.course import Course, small_course
from benchmarks.ablations.kept import Figures, kept
from benchmarks.ablations.probes import probe
from benchmarks.ablations.shipped import TEXT_STEPS, Shipped
from benchmarks.ablations.world import make_world

_SCENES, _TRIALS = 3000, 128


@dataclass(frozen=True)
class Question:
    """Things compared by the same figures."""

    title: str
    #: the first is what the others are compared with
    variants: tuple[str, ...]
    #: whether each variant is a training run
    trains: bool = True


QUESTIONS = {
    "stages": Question("recall, then refine: against refine alone", (RECIPE, "refine_only")),
    "stage_length": Question("steps of each stage", (RECIPE, "long_recall")),
    "text_flow": Question("captions as ids or as embeddings", (RECIPE, "embedding")),
    "attention": Question("does a video see its caption", (RECIPE, "bidirectional")),
    "experts": Question("experts copied or at random", (RECIPE, "random_experts")),
    "dropout": Question(
        "share of dropped conditions", (RECIPE, "recall_dropout_0.2", "refine_dropout_0.8")
    ),
    "text_weight": Question("lambda_t", (RECIPE, "text_weight_0.25", "text_weight_4")),
    "text_steps": Question("steps of a caption", tuple(map(str, TEXT_STEPS)), trains=False),
    "captions": Question(
        "captions made along, or of the finished clip", ("joint", "recaption"), trains=False
    ),
    "costs": Question("one model or two", PARTS, trains=False),
    "failures": Question(
        "where it fails", ("understand", "generate", "reconstruct", "rendered"), trains=False
    ),
}


@dataclass(frozen=True)
class Bench:
    """Answers questions, each variant and repetition once for all runs in a folder.

    Args:
        folder: of everything that is kept.
        checkpoint: for the questions that need no training.
        clips: per side of the hold-out and repetition, of those.
    """

    folder: Path
    checkpoint: Path
    clips: int

    def answer(self, question: str, variant: str, repetition: int) -> Figures:
        """Return the figures of a variant, measured now or earlier."""
        if QUESTIONS[question].trains:
            return self.train(variant, repetition)
        shipped = Shipped(self.checkpoint, self.folder / "results", self.clips)
        answers: dict[str, Callable[[str, int], Figures]] = {
            "text_steps": shipped.text_steps,
            "captions": shipped.captions,
            "costs": shipped.costs,
            "failures": shipped.failures,
        }
        return answers[question](variant, repetition)

    def train(self, arm: str, seed: int) -> Figures:
        """Return the figures of an arm after its training."""
        course, chosen = self.course, ARMS[arm]
        return kept(
            self.folder / "results",
            f"{arm}-{seed}",
            course.definition(chosen, seed),
            lambda: probe(course.train(chosen, seed), course.world),
        )

    @cached_property
    def course(self) -> Course:
        """How arms are trained."""
        return small_course(self.folder, make_world(self.folder, _SCENES, _TRIALS, SMALL))
