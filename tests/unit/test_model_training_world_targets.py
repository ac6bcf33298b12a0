"""Mean velocities of the Moving Shapes world against sums over all its scenes, one by one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from model.training.components import new_tokenizer
from model.training.data import BatchMaker, Sample
from model.training.moving_shapes import (
    BACKGROUNDS,
    COLORS,
    SIZES,
    Scene,
    render,
    sample_scene,
    vocabulary,
)
from model.training.patch_code import PatchCode
from model.training.stage import CAPABILITY_REFINEMENT, SampleMode
from model.training.world_outlines import outlined_scenes
from model.training.world_targets import WorldTargets

NUM_PATHS = 2
LENGTH = 20
CONFIG = {
    "caption_length": LENGTH,
    "caption_vocab_size": 66,
    "condition_length": 4,
    "text_dim": 8,
    "null_condition": "zeros",
    "text_flow": "discrete_uniform",
    "understanding_attention": "isolated",
}


class NoStates:
    """Condition states that nobody reads here."""

    def __getitem__(self, text: str) -> Tensor:
        return torch.zeros(CONFIG["condition_length"], CONFIG["text_dim"])


class World:
    """Scenes whose latents are a linear code, and batches of them."""

    def __init__(self) -> None:
        rng = random.Random(3)
        self.scenes = [sample_scene(rng) for _ in range(288)]
        clips = render(self.scenes)
        self.latents = PatchCode.fit(clips).encode(clips)
        self.code = PatchCode.regress(clips[:256], self.latents[:256])  # nearly the same
        self.tokenizer = new_tokenizer(vocabulary())
        self.targets = WorldTargets(self.scenes, self.latents, self.tokenizer, LENGTH, NUM_PATHS)
        self._maker = BatchMaker(self.latents, NoStates(), self.tokenizer, CONFIG)

    def batch(
        self, samples: list[Sample], sigma: float, num_frames: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return noisy latents at a level, and their sharpened targets."""
        # a shift that leaves no other level to draw
        stage = replace(CAPABILITY_REFINEMENT, video_shift=100.0)
        generator = torch.Generator().manual_seed(1)
        batch = self._maker.make(samples, stage, generator, num_frames)
        drawn = batch.video_sigma.view(-1, 1, 1, 1, 1)
        clean = batch.latents - drawn * batch.velocity
        noise = clean + batch.velocity
        at_level = replace(
            batch,
            latents=(1 - sigma) * clean + sigma * noise,
            video_sigma=torch.full_like(batch.video_sigma, sigma),
        )
        return at_level.latents, self.targets.sharpen(at_level, samples, 0.5).velocity


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def brute_force(
    world: World, index: int, noisy: Tensor, sigma: float, behind: Sequence[Scene]
) -> Tensor:
    """Return the mean velocity when one of `behind`, all equally likely, is behind `noisy`.

    What the code misses of the scene that really is behind it is taken for known.
    """
    missed = world.latents[index] - world.code.encode(render([world.scenes[index]]))
    could_be = (world.code.encode(render(behind)) + missed)[:, :, : noisy.shape[1]]
    distance = (noisy - (1 - sigma) * could_be).square().flatten(1).sum(1)
    weights = (-distance.double() / (2 * sigma**2)).softmax(0).float()
    return (noisy - torch.einsum("n,n...->...", weights, could_be)) / sigma


def like(scene: Scene, sizes: Sequence[str], backgrounds: Sequence[str]) -> list[Scene]:
    """Return the outlines of a scene's motion and shape in its colour, it among them."""
    found = []
    for size in sizes:
        pool = [
            s
            for s in outlined_scenes(NUM_PATHS)
            if (s.motion, s.shape, s.size) == (scene.motion, scene.shape, size)
        ]
        if size == scene.size:
            pool[0] = scene
        found += [
            replace(one, color=scene.color, background=background)
            for one, background in product(pool, backgrounds)
        ]
    return found


@pytest.mark.parametrize("sigma", [0.6, 0.9, 0.97, 1.0])
@pytest.mark.parametrize("num_frames", [None, 1])
def test_a_whole_prompt_leaves_size_background_and_path(
    world: World, sigma: float, num_frames: int | None
) -> None:
    scene = world.scenes[0]
    sample = Sample(0, "video_only", scene.prompt(2), scene.caption())
    noisy, velocity = world.batch([sample], sigma, num_frames)
    behind = like(scene, [*SIZES], [*BACKGROUNDS])
    expected = brute_force(world, 0, noisy[0], sigma, behind)
    torch.testing.assert_close(velocity[0], expected, atol=2e-3, rtol=0)


def test_a_clean_caption_leaves_the_path_alone(world: World) -> None:
    scene = world.scenes[1]
    prompt = scene.open_prompt([])
    noisy, velocity = world.batch([Sample(1, "text_to_video", prompt, scene.caption())], 0.97)
    expected = brute_force(world, 1, noisy[0], 0.97, like(scene, [scene.size], [scene.background]))
    torch.testing.assert_close(velocity[0], expected, atol=2e-3, rtol=0)


def test_a_clean_prompt_in_the_caption_stream_counts_without_a_condition(world: World) -> None:
    scene = world.scenes[2]
    noisy, velocity = world.batch([Sample(2, "text_to_video", None, scene.prompt())], 0.97)
    behind = like(scene, [*SIZES], [*BACKGROUNDS])
    expected = brute_force(world, 2, noisy[0], 0.97, behind)
    torch.testing.assert_close(velocity[0], expected, atol=2e-3, rtol=0)


def test_the_hold_out_is_not_among_what_could_be(world: World) -> None:
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


def test_little_noise_leaves_the_clip_itself(world: World) -> None:
    scene = world.scenes[4]
    sample = Sample(4, "video_only", scene.prompt(), scene.caption())
    noisy, velocity = world.batch([sample], 0.5)
    expected = (noisy[0] - world.latents[4]) / 0.5
    torch.testing.assert_close(velocity[0], expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize(("mode", "sigma"), [("video_only", 0.4), ("understand", 0.9)])
def test_other_targets_stay_to_the_bit(world: World, mode: SampleMode, sigma: float) -> None:
    scene = world.scenes[5]
    noisy, velocity = world.batch([Sample(5, mode, None, scene.caption())], sigma)
    if mode == "video_only":
        clean = (noisy - sigma * velocity)[0]
        torch.testing.assert_close(clean, world.latents[5], atol=1e-4, rtol=0)
    assert torch.equal(velocity, world.batch([Sample(5, mode, None, "")], sigma)[1])


def test_latents_that_are_not_linear_are_refused(world: World) -> None:
    message = (
        r"exact_above: a linear code misses \d\.\d+ of the latents' variance, and may miss 0.05"
    )
    with pytest.raises(ValueError, match=message):
        WorldTargets(world.scenes, world.latents.square(), world.tokenizer, LENGTH, 1)
