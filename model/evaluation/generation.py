"""Scores of the clips that a checkpoint makes, judged by the pixel checker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from model.evaluation.captions import parse_caption
from model.evaluation.checker import Frames, Observation, observe
from model.evaluation.outcomes import Answer, Measure, Outcome, Shot
from model.evaluation.quality import measure_quality
from model.evaluation.trial import ATTRIBUTES, PROMPTED, Trial, named
from model.sampler import Mode
from model.training.moving_shapes import NUM_PROMPT_FORMS, Scene

#: what open prompts still name, in turn
_KEPT: tuple[tuple[str, ...], ...] = ((), ("color",), ("shape",), ("motion",))
#: seeds that an open prompt is tried with
_SEEDS_PER_PROMPT = 4


def generate(trial: Trial) -> Iterator[Outcome]:
    """Make clips with their captions: is it what was asked, well made, and rightly described.

    The finished clips are captioned anew too, to compare with the captions made along with them.
    """
    prompts = [scene.prompt() for scene in trial.scenes]
    clips, shown = [], []
    for scene, prompt, frames, caption in _made(trial, prompts):
        seen = observe(frames)
        clips.append(frames)
        shown.append(seen)
        yield Answer("generate", trial.side, named(scene, PROMPTED), _attributes(seen))
        yield _agreement("joint", trial.side, seen, caption)
        yield from _quality("generate", trial.side, frames, seen)
        yield Shot.of(f"generate, {trial.side}", frames, prompt=prompt, caption=caption)
    for seen, caption in zip(shown, trial.model.understand(clips, trial.seeds), strict=True):
        yield _agreement("recaption", trial.side, seen, caption)


def paraphrase(trial: Trial) -> Iterator[Outcome]:
    """Make clips from every wording but the canonical one."""
    prompts = [
        scene.prompt(1 + seed % (NUM_PROMPT_FORMS - 1))
        for scene, seed in zip(trial.scenes, trial.seeds, strict=True)
    ]
    yield from _asked("paraphrase", trial, prompts, PROMPTED)


def detailed(trial: Trial) -> Iterator[Outcome]:
    """Make clips from captions, where nothing is left open."""
    prompts = [scene.caption() for scene in trial.scenes]
    yield from _asked("detailed", trial, prompts, ATTRIBUTES)


def open_prompts(trial: Trial) -> Iterator[Outcome]:
    """Make several clips from prompts that leave attributes open, which the seeds decide."""
    prompts, kept = [], []
    for i in range(len(trial.seeds)):
        group = i // _SEEDS_PER_PROMPT
        kept.append(_KEPT[group % len(_KEPT)])
        prompts.append(trial.scenes[group * _SEEDS_PER_PROMPT].open_prompt(kept[-1]))
    looks: list[tuple[str, ...]] = []
    for i, (_, prompt, frames, caption) in enumerate(_made(trial, prompts)):
        seen = observe(frames)
        scene = trial.scenes[i // _SEEDS_PER_PROMPT * _SEEDS_PER_PROMPT]
        if kept[i]:
            yield Answer("open", trial.side, named(scene, kept[i]), _attributes(seen))
        yield _agreement("open_joint", trial.side, seen, caption)
        yield Shot.of(f"open, {trial.side}", frames, prompt=prompt, caption=caption)
        looks.append(tuple(_attributes(seen).values()))
        if len(looks) == _SEEDS_PER_PROMPT:
            yield Measure("open", trial.side, {"different": len({*looks}) / len(looks)})
            looks.clear()


def reconstruct(trial: Trial) -> Iterator[Outcome]:
    """Pass rendered clips through the autoencoder; measure them too, as the best there can be."""
    clips = trial.clips()
    for clip, coded in zip(clips, trial.model.reconstruct(clips), strict=True):
        yield from _quality("rendered", trial.side, clip, observe(clip))
        yield from _quality("reconstruct", trial.side, coded, observe(coded))
        yield Measure("reconstruct", trial.side, {"psnr": _psnr(clip, coded)})


def drift(trial: Trial) -> Iterator[Outcome]:
    """Make the same clips, without captions, with the checkpoint and with the one it came from."""
    assert trial.base is not None
    prompts = [scene.prompt() for scene in trial.scenes]
    ours = trial.model.generate(prompts, trial.seeds, Mode.VIDEO_ONLY)
    theirs = trial.base.generate(prompts, trial.seeds, Mode.VIDEO_ONLY)
    for scene, now, before in zip(trial.scenes, ours, theirs, strict=True):
        figures = {"psnr": _psnr(now.frames, before.frames)}
        figures["difference"] = float(np.abs(now.frames.astype(int) - before.frames).mean())
        yield Measure("drift", trial.side, figures)
        for score, made in (("video_only", now), ("video_only_base", before)):
            seen = _attributes(observe(trial.served(made.frames)))
            yield Answer(score, trial.side, named(scene, PROMPTED), seen)


def _made(trial: Trial, prompts: Sequence[str]) -> Iterator[tuple[Scene, str, Frames, str]]:
    made = trial.model.generate(prompts, trial.seeds)
    for scene, prompt, one in zip(trial.scenes, prompts, made, strict=True):
        assert one.caption is not None
        yield scene, prompt, trial.served(one.frames), one.caption


def _asked(
    score: str, trial: Trial, prompts: Sequence[str], attributes: tuple[str, ...]
) -> Iterator[Answer]:
    for scene, _, frames, _ in _made(trial, prompts):
        yield Answer(score, trial.side, named(scene, attributes), _attributes(observe(frames)))


def _attributes(seen: Observation) -> dict[str, str]:
    return {name: getattr(seen, name) for name in ATTRIBUTES}


def _agreement(score: str, side: str, seen: Observation, caption: str) -> Answer:
    return Answer(score, side, _attributes(seen), parse_caption(caption))


def _quality(name: str, side: str, frames: Frames, seen: Observation) -> Iterator[Measure]:
    quality = measure_quality(frames, seen)
    if quality is not None:
        yield Measure(name, side, quality.figures())


def _psnr(frames: Frames, other: Frames) -> float:
    """Return the peak signal-to-noise ratio in dB; 100 for equal clips."""
    error = float(np.square(frames.astype(float) - other).mean())
    return float(min(100.0, 10 * np.log10(255**2 / error))) if error else 100.0
