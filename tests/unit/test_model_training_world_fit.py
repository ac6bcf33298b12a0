"""Paths fitted to noisy latents."""

import random
from dataclasses import replace

import pytest
import torch
from coded_world import CodedWorld

from model.training.moving_shapes import (
    MOTIONS,
    free_numbers,
    place_scene,
    render,
    with_numbers,
)
from model.training.world_fit import codes_of, fit

PIXEL = 1 / 64


@pytest.fixture(scope="module")
def world():
    return CodedWorld(num_paths=1)


def one_of_each_motion():
    rng = random.Random(0)
    return [place_scene(rng, "red", "cross", motion) for motion in MOTIONS]


@pytest.mark.parametrize("scene", one_of_each_motion(), ids=lambda scene: scene.motion)
def test_two_numbers_are_all_of_a_path(scene):
    again = with_numbers(scene, *free_numbers(scene))
    torch.testing.assert_close(torch.tensor(again.path), torch.tensor(scene.path))


@pytest.mark.parametrize("scene", one_of_each_motion(), ids=lambda scene: scene.motion)
def test_paths_are_brought_into_the_range_of_the_world(scene):
    low, high = (free_numbers(with_numbers(scene, n, n, inside=True)) for n in (0.0, 1.0))
    assert low == pytest.approx((0.34, 0.34))
    is_still = scene.motion in ("still", "growing", "shrinking")
    assert high == pytest.approx((0.66, 0.66 if is_still else 0.47))


def test_codes_of_scenes_are_those_of_their_clips(world):
    scenes = world.scenes[:8]
    codes = codes_of(world.code, world.targets.outlines.ground, scenes)
    torch.testing.assert_close(codes, world.code.encode(render(scenes)), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("sigma", "pixels"), [(0.0, 0.02), (0.3, 0.2), (0.7, 1.2)])
def test_a_path_is_found_from_a_pixel_away(world, sigma, pixels):
    rng = random.Random(1)
    scenes = [replace(scene, size="large") for scene in one_of_each_motion()]
    ground = world.targets.outlines.ground
    codes = codes_of(world.code, ground, scenes)
    noise = torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    away = [
        with_numbers(s, *(n + rng.choice((-PIXEL, PIXEL)) for n in free_numbers(s))) for s in scenes
    ]
    found = fit(world.code, ground, away, (1 - sigma) * codes + sigma * noise, sigma)
    for scene, other in zip(scenes, found.scenes, strict=True):
        assert free_numbers(other) == pytest.approx(free_numbers(scene), abs=pixels * PIXEL)
    if sigma == 0:
        assert found.distances.max() < 0.01 * codes[0].square().sum()
