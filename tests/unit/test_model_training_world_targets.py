"""Mean velocities of the Moving Shapes world against sums over all its scenes, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from coded_world import LENGTH, CodedWorld, mean_clip, outlines_like
from torch import Tensor

from model.training.data import Sample
from model.training.moving_shapes import BACKGROUNDS, COLORS, SIZES, Scene, render
from model.training.stage import SampleMode
from model.training.world_targets import WorldTargets


@pytest.fixture(scope="module")
def world() -> CodedWorld:
    return CodedWorld()


def brute_force(
    world: CodedWorld, index: int, noisy: Tensor, sigma: float, behind: Sequence[Scene]
) -> Tensor:
    """Return the mean velocity when one of `behind`, all equally likely, is behind `noisy`.

    What the code misses of the scene that really is behind it is taken for known.
    """
    missed = world.latents[index] - world.code.encode(render([world.scenes[index]]))
    could_be = (world.code.encode(render(behind)) + missed)[:, :, : noisy.shape[1]]
    return (noisy - mean_clip(could_be, noisy, sigma)) / sigma


def like(scene: Scene, sizes: Sequence[str], backgrounds: Sequence[str]) -> list[Scene]:
    """Return the outlines of a scene's motion and shape in its colour, it among them."""
    found = outlines_like(scene, sizes, backgrounds)
    first = next(one.path for one in found if one.size == scene.size)
    own = scene.size, first
    return [replace(one, path=scene.path) if (one.size, one.path) == own else one for one in found]


@pytest.mark.parametrize("sigma", [0.6, 0.9, 0.97, 1.0])
@pytest.mark.parametrize("num_frames", [None, 1])
def test_a_whole_prompt_leaves_size_background_and_path(
    world: CodedWorld, sigma: float, num_frames: int | None
) -> None:
    scene = world.scenes[0]
    sample = Sample(0, "video_only", scene.prompt(2), scene.caption())
    noisy, velocity = world.batch([sample], sigma, num_frames)
    behind = like(scene, [*SIZES], [*BACKGROUNDS])
    expected = brute_force(world, 0, noisy[0], sigma, behind)
    torch.testing.assert_close(velocity[0], expected, atol=2e-3, rtol=0)


def test_a_clean_caption_leaves_the_path_alone(world: CodedWorld) -> None:
    scene = world.scenes[1]
    prompt = scene.open_prompt([])
    noisy, velocity = world.batch([Sample(1, "text_to_video", prompt, scene.caption())], 0.97)
    expected = brute_force(world, 1, noisy[0], 0.97, like(scene, [scene.size], [scene.background]))
    torch.testing.assert_close(velocity[0], expected, atol=2e-3, rtol=0)


def test_a_caption_for_a_prompt_leaves_the_path_alone(world: CodedWorld) -> None:
    scene = world.scenes[1]
    sample = Sample(1, "video_only", scene.caption(), scene.caption())
    noisy, velocity = world.batch([sample], 0.97)
    expected = brute_force(world, 1, noisy[0], 0.97, like(scene, [scene.size], [scene.background]))
    torch.testing.assert_close(velocity[0], expected, atol=2e-3, rtol=0)


def test_a_clean_prompt_in_the_caption_stream_counts_without_a_condition(world: CodedWorld) -> None:
    scene = world.scenes[2]
    noisy, velocity = world.batch([Sample(2, "text_to_video", None, scene.prompt())], 0.97)
    behind = like(scene, [*SIZES], [*BACKGROUNDS])
    expected = brute_force(world, 2, noisy[0], 0.97, behind)
    torch.testing.assert_close(velocity[0], expected, atol=2e-3, rtol=0)


def test_the_hold_out_is_not_among_what_could_be(world: CodedWorld) -> None:
    scene = world.scenes[3]
    prompt = scene.open_prompt(["shape", "motion"])
    noisy, velocity = world.batch([Sample(3, "video_only", prompt, scene.caption())], 1.0)
    everything = [
        replace(one, color=color)
        for one in like(scene, [*SIZES], [*BACKGROUNDS])
        for color in COLORS
    ]
    trained = [one for one in everything if not one.is_held_out]
    assert len(trained) < len(everything)
    expected = brute_force(world, 3, noisy[0], 1.0, trained)
    torch.testing.assert_close(velocity[0], expected, atol=2e-3, rtol=0)


def test_little_noise_leaves_the_clip_itself(world: CodedWorld) -> None:
    scene = world.scenes[4]
    sample = Sample(4, "video_only", scene.prompt(), scene.caption())
    noisy, velocity = world.batch([sample], 0.5)
    expected = (noisy[0] - world.latents[4]) / 0.5
    torch.testing.assert_close(velocity[0], expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize(("mode", "sigma"), [("video_only", 0.4), ("understand", 0.9)])
def test_other_targets_stay_to_the_bit(world: CodedWorld, mode: SampleMode, sigma: float) -> None:
    scene = world.scenes[5]
    noisy, velocity = world.batch([Sample(5, mode, None, scene.caption())], sigma)
    if mode == "video_only":
        clean = (noisy - sigma * velocity)[0]
        torch.testing.assert_close(clean, world.latents[5], atol=1e-4, rtol=0)
    assert torch.equal(velocity, world.batch([Sample(5, mode, None, "")], sigma)[1])


def test_latents_that_are_not_linear_are_refused(world: CodedWorld) -> None:
    message = (
        r"exact_above: a linear code misses \d\.\d+ of the latents' variance, and may miss 0.05"
    )
    with pytest.raises(ValueError, match=message):
        WorldTargets(world.scenes, world.latents.square(), world.tokenizer, LENGTH, 1)
