"""Scores of what a checkpoint says about clips, with controls that tell reading from guessing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model.evaluation.captions import parse_caption
from model.evaluation.outcomes import Answer, Measure, Outcome, Shot
from model.evaluation.trial import ATTRIBUTES, Trial, named
from model.training.moving_shapes import QUESTIONS

#: levels at which the tokens of a noisy caption are asked for
NOISE_LEVELS = (0.2, 0.4, 0.6, 0.8, 1.0)
_GRAY = 128


def understand(trial: Trial) -> Iterator[Outcome]:
    """Caption clips; the controls compare with another clip, and caption a clip of nothing."""
    clips = trial.clips()
    for i, text in enumerate(trial.model.understand(clips, trial.seeds)):
        said = parse_caption(text)
        scene, other = trial.scenes[i], trial.scenes[i - 1]
        yield Answer("understand", trial.side, named(scene, ATTRIBUTES), said)
        yield Answer("understand_shuffled", trial.side, named(other, ATTRIBUTES), said)
        yield Shot.of(f"understand, {trial.side}", clips[i], caption=text)
    blank = [np.full_like(clip, _GRAY) for clip in clips]
    for scene, text in zip(trial.scenes, trial.model.understand(blank, trial.seeds), strict=True):
        truth = named(scene, ATTRIBUTES)
        yield Answer("understand_no_video", trial.side, truth, parse_caption(text))


def understand_larger(trial: Trial) -> Iterator[Outcome]:
    """Caption clips drawn and coded at twice the size, which the service scales down."""
    texts = trial.model.understand(trial.clips(scale=2), trial.seeds)
    for scene, text in zip(trial.scenes, texts, strict=True):
        truth = named(scene, ATTRIBUTES)
        yield Answer("understand_larger", trial.side, truth, parse_caption(text))


def instruct(trial: Trial) -> Iterator[Outcome]:
    """Ask one question about every clip, all kinds in turn."""
    asked = [ATTRIBUTES[seed % len(ATTRIBUTES)] for seed in trial.seeds]
    questions = [QUESTIONS[name] for name in asked]
    answers = trial.model.understand(trial.clips(), trial.seeds, questions)
    for scene, name, text in zip(trial.scenes, asked, answers, strict=True):
        yield Answer("instruct", trial.side, {name: scene.answer(name)}, {name: text})


def tokens(trial: Trial) -> Iterator[Outcome]:
    """Ask for the tokens of captions at several noise levels, in one look each."""
    clips = trial.clips()
    captions = [scene.caption() for scene in trial.scenes]
    for shares in trial.model.recover_tokens(clips, captions, trial.seeds, NOISE_LEVELS):
        levels = [f"sigma {sigma}" for sigma in NOISE_LEVELS]
        yield Measure("tokens", trial.side, dict(zip(levels, shares, strict=True)))
