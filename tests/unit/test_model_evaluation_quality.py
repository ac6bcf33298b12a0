"""Edge width, flicker, jitter and colour error of clips whose faults are known."""

import random

import numpy as np
import pytest
import torch.nn.functional as F

from model.evaluation.checker import observe
from model.evaluation.quality import measure_quality
from model.latents import to_uint8
from model.training.moving_shapes import Scene, place_scene, render

SCENE = place_scene(random.Random(0), "red", "circle", "still")
SCENE = Scene("red", "circle", "still", "white", "large", SCENE.path)


def measured(clip):
    quality = measure_quality(clip, observe(clip))
    assert quality is not None
    return quality


def drawn(scene=SCENE):
    return to_uint8(render([scene]))[0].numpy()


def test_a_rendered_clip_is_nearly_faultless():
    quality = measured(drawn())
    assert quality.color_error == 0
    assert quality.edge_width == pytest.approx(0.8, abs=0.1)  # a ramp of one pixel
    assert quality.path_jitter < 0.01
    assert quality.area_flicker == 0
    assert quality.color_flicker == 0


@pytest.mark.parametrize("width", [3, 5])
def test_the_edge_is_as_wide_as_the_blur(width):
    pixels = F.pad(render([SCENE])[0], [width // 2] * 4, mode="replicate")
    blurred = to_uint8(F.avg_pool2d(pixels, width, stride=1)[None])[0].numpy()
    assert measured(blurred).edge_width == pytest.approx(0.8 * width, rel=0.12)


def test_a_frame_with_a_larger_object_is_flicker():
    larger = Scene("red", "circle", "growing", "white", "large", SCENE.path)
    clip = drawn()
    clip[5] = drawn(larger)[9]  # radius 1.0625 times as large
    quality = measured(clip)
    assert quality.area_flicker == pytest.approx(1.0625**2 - 1, abs=0.01)
    assert quality.still_flicker == quality.area_flicker


def test_a_moving_object_has_no_still_flicker():
    scene = Scene("red", "circle", "left", "white", "small", ((0.7, 0.5), (0.3, 0.5)))
    figures = measured(drawn(scene)).figures()
    assert 0 < figures["area_flicker"] < 0.03
    assert "still_flicker" not in figures


def test_frames_that_jump_are_jitter():
    clip = drawn()
    clip[1::2] = np.roll(clip[1::2], 2, axis=2)
    assert measured(clip).path_jitter == pytest.approx(1.0, abs=0.02)


def test_a_path_that_is_even_is_no_jitter():
    scene = Scene("red", "circle", "left", "white", "small", ((0.7, 0.5), (0.3, 0.5)))
    assert measured(drawn(scene)).path_jitter < 0.05


def test_a_shade_beside_the_palette_is_a_colour_error():
    clip = drawn().astype(int)
    clip[..., 0] -= 30  # the white background too, which no palette entry is
    assert measured(clip.clip(0).astype(np.uint8)).color_error == pytest.approx(10)


def test_a_frame_of_another_shade_is_colour_flicker():
    clip = drawn().astype(int)
    clip[5, ..., 1] += 30  # red has room there, and the white background none
    assert measured(clip.clip(0, 255).astype(np.uint8)).color_flicker == pytest.approx(10, abs=0.01)


def test_an_object_that_changes_its_size_has_no_flicker():
    growing = Scene("red", "circle", "growing", "white", "large", SCENE.path)
    assert "area_flicker" not in measured(drawn(growing)).figures()


def test_nothing_is_not_measured():
    clip = np.full((17, 64, 64, 3), 128, np.uint8)
    assert measure_quality(clip, observe(clip)) is None
