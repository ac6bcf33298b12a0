"""The Moving Shapes scores of a checkpoint: understand, generate, joint, each on both sides of the
compositional hold-out, with a shuffled-video control.

Clips are rendered fresh from a seed that training never uses and passed through H.264; what is
true of a generated clip is decided by the pixel checker.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from model.evaluation.captions import parse_caption
from model.evaluation.checker import Frames, observe
from model.evaluation.compression import h264_round_trip
from model.latents import to_uint8
from model.pipeline import UniViGUPipeline
from model.training.moving_shapes import FPS, QUESTIONS, Scene, render, sample_scene

ATTRIBUTES = ("color", "shape", "motion", "background", "size")
PROMPTED = ("color", "shape", "motion")
#: keeps evaluation scenes apart from every training seed
_SEED_OFFSET = 7_000_000


@dataclass(frozen=True)
class Row:
    """One outcome: which score, on which side of the hold-out, and what was right."""

    score: str
    side: str
    right: dict[str, bool]

    @property
    def is_right(self) -> bool:
        """Whether everything asked for was right."""
        return all(self.right.values())


def evaluate(
    checkpoint: Path,
    *,
    clips: int = 64,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Score a Moving Shapes checkpoint.

    Args:
        checkpoint: checkpoint folder.
        clips: clips per score and side of the hold-out.
        seed: of scenes and samples.
        on_progress: called with (rows done, rows in all).

    Returns:
        {"clips", "seed", "scores": {score: {side: {"all": share, attribute: share, ...}}}}.
    """
    pipeline = UniViGUPipeline.from_pretrained(checkpoint, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    rows: list[Row] = []
    total = 2 * clips * 5
    for row in _rows(pipeline, clips, seed):
        rows.append(row)
        on_progress(len(rows), total)
    return {"clips": clips, "seed": seed, "scores": _summarise(rows)}


def _rows(pipeline: UniViGUPipeline, clips: int, seed: int) -> Iterator[Row]:
    for side in ("seen", "held_out"):
        rng = random.Random(_SEED_OFFSET + seed)
        scenes = [sample_scene(rng, held_out=side == "held_out") for _ in range(clips)]
        for i, scene in enumerate(scenes):
            yield from _understand(pipeline, scene, scenes[i - 1], side, seed + i)
        for i, scene in enumerate(scenes):
            yield from _generate(pipeline, scene, side, seed + i)


def _understand(
    pipeline: UniViGUPipeline, scene: Scene, other: Scene, side: str, seed: int
) -> Iterator[Row]:
    clip = h264_round_trip(to_uint8(render([scene]))[0].numpy(), FPS)
    said = parse_caption(pipeline.understand(clip, seed=seed))
    yield Row("understand", side, _agreement(said, asdict(scene), ATTRIBUTES))
    yield Row("understand_shuffled", side, _agreement(said, asdict(other), ATTRIBUTES))
    attribute = ATTRIBUTES[seed % len(ATTRIBUTES)]
    answer = pipeline.understand(clip, seed=seed, instruction=QUESTIONS[attribute])
    yield Row("instruct", side, {attribute: answer == scene.answer(attribute)})


def _generate(pipeline: UniViGUPipeline, scene: Scene, side: str, seed: int) -> Iterator[Row]:
    made = pipeline.generate(scene.prompt(), seed=seed)
    seen = asdict(observe(_as_served(made.frames)))
    yield Row("generate", side, _agreement(seen, asdict(scene), PROMPTED))
    assert made.caption is not None
    yield Row("joint", side, _agreement(parse_caption(made.caption), seen, ATTRIBUTES))


def _as_served(frames: Frames) -> Frames:
    return h264_round_trip(frames, FPS)


def _agreement(
    found: dict[str, Any], truth: dict[str, Any], names: tuple[str, ...]
) -> dict[str, bool]:
    return {name: found.get(name) == truth[name] for name in names}


def _summarise(rows: list[Row]) -> dict[str, dict[str, dict[str, float]]]:
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for key in sorted({(row.score, row.side) for row in rows}):
        chosen = [row for row in rows if (row.score, row.side) == key]
        shares = {"all": _share([row.is_right for row in chosen])}
        for name in ATTRIBUTES:
            marks = [row.right[name] for row in chosen if name in row.right]
            if marks:
                shares[name] = _share(marks)
        scores.setdefault(key[0], {})[key[1]] = shares
    return scores


def _share(marks: list[bool]) -> float:
    return round(sum(marks) / len(marks), 4)
