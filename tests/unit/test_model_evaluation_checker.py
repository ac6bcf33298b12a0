"""The pixel checker and the caption reader tell the truth about rendered clips."""

import random

import numpy as np
import pytest

from model.evaluation.captions import parse_caption
from model.evaluation.checker import BACKGROUNDS, PALETTE, observe
from model.evaluation.compression import h264_round_trip
from model.latents import to_uint8
from model.training import moving_shapes
from model.training.moving_shapes import FPS, Scene, place_scene, render

ATTRIBUTES = ("color", "shape", "motion", "background", "size")


def _truth(scene: Scene) -> dict[str, str]:
    return {name: getattr(scene, name) for name in ATTRIBUTES}


def _scenes(count: int, seed: int) -> list[Scene]:
    rng = random.Random(seed)
    combinations = moving_shapes.combinations(held_out=True)
    return [place_scene(rng, *rng.choice(combinations)) for _ in range(count)]


@pytest.mark.parametrize(("side", "count"), [(64, 40), (128, 12)])
def test_the_checker_reads_every_compressed_clip_right(side: int, count: int) -> None:
    scenes = _scenes(count, seed=side)
    clips = to_uint8(render(scenes, side)).numpy()
    for scene, clip in zip(scenes, clips, strict=True):
        seen = observe(h264_round_trip(clip, FPS))
        assert {name: getattr(seen, name) for name in ATTRIBUTES} == _truth(scene)


def test_the_checker_finds_nothing_on_an_empty_clip() -> None:
    assert observe(np.full((17, 64, 64, 3), 128, np.uint8)).color == "unclear"


def test_the_checker_does_not_call_a_jumping_object_a_motion() -> None:
    clip = to_uint8(render(_scenes(1, seed=0)))[0].numpy()
    still = np.repeat(clip[:1], 17, axis=0)
    still[8:] = np.roll(still[8:], (14, 14), axis=(1, 2))
    assert observe(still).motion == "unclear"


def test_checker_and_world_agree_on_the_palette() -> None:
    assert PALETTE == moving_shapes.COLORS
    assert BACKGROUNDS == moving_shapes.BACKGROUNDS


def test_every_caption_can_be_read_back() -> None:
    for scene in _scenes(60, seed=3):
        assert parse_caption(scene.caption()) == _truth(scene)


@pytest.mark.parametrize(
    "text",
    ["", "a red circle moving left", "a small red circle flies over a plain white background ."],
)
def test_other_wording_is_not_read_as_a_caption(text: str) -> None:
    assert parse_caption(text) == {}
