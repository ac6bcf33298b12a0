"""The best answers to noisy clips: sums over scenes one by one, and scenes that are known."""

import random
from dataclasses import replace

import pytest
import torch
from coded_world import CodedWorld, mean_clip, outlines_like

from model.rowwise import generators_of
from model.training.data import Batch
from model.training.moving_shapes import BACKGROUNDS, SIZES, place_scene, render
from model.training.world_answers import WorldAnswers
from model.training.world_words import place_of

NUM_PATHS = 12


@pytest.fixture(scope="module")
def world():
    return CodedWorld(NUM_PATHS)


def noisy_rows(world, scenes, sigma):
    """Return what scenes look like at a noise level, with captions that say nothing."""
    generator = torch.Generator().manual_seed(2)
    clean = world.encode(scenes)
    noise = torch.randn(clean.shape, generator=generator)
    caption = torch.randint(66, (len(scenes), 20), generator=generator)
    level = torch.full((len(scenes),), sigma)
    nothing = torch.zeros_like(level)
    noisy = (1 - sigma) * clean + sigma * noise
    return Batch(
        noisy, noisy, level, nothing, nothing, caption=caption, text_sigma=torch.ones_like(level)
    )


def answer(world, noisy, prompts, encode=None):
    """Return clean latents, and the scenes' places in the tables that the captions say."""
    answers = WorldAnswers(world.targets, encode or world.encode)
    velocity, ids = answers(noisy, prompts, generators_of(range(len(prompts))))
    return noisy.latents - noisy.video_sigma.view(-1, 1, 1, 1, 1) * velocity, ids


def captions(world, scenes):
    return torch.stack([world.targets.captions.ids[place_of(scene)] for scene in scenes])


@pytest.mark.parametrize("sigma", [0.91, 0.97, 1.0])
def test_at_high_noise_the_mean_of_all_that_could_be(world, sigma):
    scene = world.scenes[0]
    noisy = noisy_rows(world, [scene], sigma)
    clean, _ = answer(world, noisy, [scene.prompt()])
    behind = outlines_like(scene, [*SIZES], [*BACKGROUNDS], NUM_PATHS)
    expected = mean_clip(world.code.encode(render(behind)), noisy.latents[0], sigma)
    torch.testing.assert_close(clean[0], expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("sigma", [0.8, 0.6])
def test_at_lower_noise_the_one_scene_that_is_nearest(world, sigma):
    scenes = [replace(scene, size="large") for scene in world.scenes[:6]]
    noisy = noisy_rows(world, scenes, sigma)
    clean, ids = answer(world, noisy, [None] * 6)
    assert torch.equal(ids, captions(world, scenes))
    missed = (clean - world.encode(scenes)).square().mean()
    assert missed < 0.02 * clean.var()  # the outlines drawn are pixels away


def test_what_the_code_misses_is_seen_in_the_end(world):
    asked = []

    def encode(scenes):
        asked.extend(scenes)
        return world.encode(scenes) + 1

    noisy = noisy_rows(world, world.scenes[:2], 0.3)
    clean, _ = answer(world, noisy, [None] * 2, encode)
    torch.testing.assert_close(clean, world.encode(asked) + 1, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sigma", [0.95, 0.7])
def test_a_prompt_outweighs_what_is_seen(world, sigma):
    seen = place_scene(random.Random(0), "red", "circle", "left")
    clean, ids = answer(world, noisy_rows(world, [seen], sigma), ["a red cross moving left"])
    said = " ".join(world.tokenizer.decode(ids[0]).split())
    assert "red cross moves from right to left" in said
    assert torch.isfinite(clean).all()


def test_words_that_are_drafted_count(world):
    # what is seen says nothing, and nine words in ten are right
    scene = world.scenes[0]
    noisy = noisy_rows(world, [scene], 1.0)
    noisy = replace(noisy, caption=captions(world, [scene]), text_sigma=torch.tensor([0.1]))
    _, ids = answer(world, noisy, [None])
    assert torch.equal(ids, captions(world, [scene]))


def test_captions_follow_their_likelihood(world):
    noisy = noisy_rows(world, [world.scenes[0]] * 64, 1.0)
    noisy = replace(noisy, latents=noisy.latents[:1].expand(64, -1, -1, -1, -1))
    _, ids = answer(world, noisy, ["a green circle moving left"] * 64)
    said = {world.tokenizer.decode(row) for row in ids}
    assert len(said) == len(SIZES) * len(BACKGROUNDS)
