"""The world against its description: pixels, paths and the hold-out."""

import itertools
import math
import random

import pytest
import torch

from model.latents import to_uint8
from model.training.moving_shapes import (
    BACKGROUNDS,
    COLORS,
    MOTIONS,
    SHAPES,
    SIZES,
    Scene,
    combinations,
    is_held_out,
    place_scene,
    render,
    sample_scene,
)

ALL = list(itertools.product(COLORS, SHAPES, MOTIONS))
MIDDLE = ((0.5, 0.5), (0.5, 0.5))


def drawn(count=300, motion=None):
    rng = random.Random(0)
    combos = [c for c in ALL if motion in (None, c[2])]
    return [place_scene(rng, *rng.choice(combos)) for _ in range(count)]


def scene(color="red", shape="circle", motion="left", background="white", size="small"):
    return Scene(color, shape, motion, background, size, MIDDLE)


def coverage(scene, side=128):
    """Return how much of each pixel the object covers, (F, side, side)."""
    red = render([scene], side=side)[0, 0].add(1).mul(127.5)
    ground, color = BACKGROUNDS[scene.background][0], COLORS[scene.color][0]
    return (red - ground) / (color - ground)


def test_colour_at_the_centre_of_the_object_is_exact_in_every_frame():
    rng = random.Random(0)
    scenes = [place_scene(rng, rng.choice(list(COLORS)), s, m) for s in SHAPES for m in MOTIONS]
    frames = to_uint8(render(scenes))
    for clip, scene in zip(frames, scenes, strict=True):
        (x0, y0), (x1, y1) = scene.path
        for i, frame in enumerate(clip):
            x, y = x0 + (x1 - x0) * i / 16, y0 + (y1 - y0) * i / 16
            assert tuple(frame[int(y * 64), int(x * 64)].tolist()) == COLORS[scene.color]


def test_background_in_the_corners_is_exact():
    scenes = drawn(20)
    for clip, scene in zip(to_uint8(render(scenes)), scenes, strict=True):
        for y, x in itertools.product((0, -1), (0, -1)):
            assert clip[:, y, x].unique(dim=0).tolist() == [list(BACKGROUNDS[scene.background])]


def test_clips_have_seventeen_frames_of_64_pixels_in_range():
    clips = render(drawn(3))
    assert (clips.shape, clips.dtype) == ((3, 3, 17, 64, 64), torch.float32)
    assert clips.min() >= -1
    assert clips.max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("shape", "area"),  # in units of the radius squared, from the outlines in the description
    [
        ("circle", math.pi),
        ("square", 1.8 * 1.8),
        ("triangle", 1.8 * 0.58 * 1.8),
        ("cross", 2 * (2 * 0.66) - 0.66**2),
    ],
)
def test_objects_cover_the_area_of_their_outline(shape, area, size):
    radius = {"small": 0.11, "large": 0.20}[size] * 128
    covered = coverage(scene(shape=shape, motion="still", size=size))[0].sum().item()
    assert covered == pytest.approx(area * radius**2, rel=0.03)


def test_a_triangle_points_up():
    rows = coverage(scene(shape="triangle", motion="still"))[0].sum(1)
    filled = rows[rows > 0.5]
    assert (filled[1:-1].diff() > 0).all()


@pytest.mark.parametrize(("motion", "ratio"), [("growing", 9), ("shrinking", 1 / 9)])
def test_the_radius_goes_from_one_half_to_three_halves_or_back(motion, ratio):
    areas = coverage(scene(motion=motion, size="large")).sum((1, 2))
    assert (areas[-1] / areas[0]).item() == pytest.approx(ratio, rel=0.05)
    radii = areas.sqrt()
    assert radii.diff().std() < 0.02 * radii.mean()  # uniform growth


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)],
)
def test_moving_objects_cross_the_centre_in_their_direction(motion, axis, sign):
    for scene in drawn(200, motion):
        start, end = scene.path
        assert 0.34 <= sign * (end[axis] - start[axis]) <= 0.47
        assert (start[axis] + end[axis]) / 2 == pytest.approx(0.5)
        assert start[1 - axis] == end[1 - axis]
        assert 0.34 <= start[1 - axis] <= 0.66


@pytest.mark.parametrize("motion", ["still", "growing", "shrinking"])
def test_objects_that_do_not_move_stay_in_the_middle_region(motion):
    for scene in drawn(200, motion):
        start, end = scene.path
        assert start == end
        assert all(0.34 <= coordinate <= 0.66 for coordinate in start)


def test_pixels_move_as_the_path_says():
    (moving,) = drawn(1, "down")
    cover = coverage(moving, side=64)
    rows = (torch.arange(64) + 0.5) / 64
    track = (cover.sum(2) * rows).sum(1) / cover.sum((1, 2))
    expected = torch.linspace(moving.path[0][1], moving.path[1][1], 17)
    torch.testing.assert_close(track.diff(), expected.diff(), atol=2e-3, rtol=0)


def test_paths_fill_their_ranges():
    scenes = drawn(300, "right")
    lengths = [s.path[1][0] - s.path[0][0] for s in scenes]
    heights = [s.path[0][1] for s in scenes]
    assert min(lengths) < 0.35 < 0.46 < max(lengths)
    assert min(heights) < 0.36 < 0.64 < max(heights)


def test_the_hold_out_is_the_sum_of_places_modulo_ten():
    held_out = combinations(held_out=True)
    # by hand: one combination sums to 0, and 4 + 5 + 6 + 7 of the four shapes sum to 10
    assert len(held_out) == 23
    assert {
        ("red", "circle", "left"),
        ("purple", "circle", "shrinking"),
        ("pink", "cross", "left"),
        ("pink", "square", "up"),
    } <= set(held_out)
    assert not is_held_out("red", "circle", "right")
    assert not is_held_out("red", "square", "left")


def test_the_two_sides_of_the_hold_out_share_nothing_and_miss_nothing():
    assert sorted(combinations(True) + combinations(False)) == sorted(ALL)


@pytest.mark.parametrize("held_out", [True, False])
def test_scenes_are_drawn_from_their_side_of_the_hold_out(held_out):
    rng = random.Random(0)
    scenes = [sample_scene(rng, held_out) for _ in range(2000)]
    assert {scene.is_held_out for scene in scenes} == {held_out}
    seen = {(s.color, s.shape, s.motion) for s in scenes}
    assert seen == set(combinations(held_out))
    assert {s.background for s in scenes} == set(BACKGROUNDS)
    assert {s.size for s in scenes} == set(SIZES)
