"""Scenes whose latents are a linear code, and batches of them."""

import random
from dataclasses import replace
from itertools import product

import torch

from model.training.components import new_tokenizer
from model.training.data import BatchMaker
from model.training.moving_shapes import render, sample_scene, vocabulary
from model.training.patch_code import PatchCode
from model.training.stage import CAPABILITY_REFINEMENT
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

    def __getitem__(self, text):
        return torch.zeros(CONFIG["condition_length"], CONFIG["text_dim"])


class CodedWorld:
    """The world, and what is known of it."""

    def __init__(self, num_paths=NUM_PATHS):
        rng = random.Random(3)
        self.scenes = [sample_scene(rng) for _ in range(288)]
        clips = render(self.scenes)
        self._own_code = PatchCode.fit(clips)
        self.latents = self._own_code.encode(clips)
        self.code = PatchCode.regress(clips[:256], self.latents[:256])  # nearly the same
        self.tokenizer = new_tokenizer(vocabulary())
        self.targets = WorldTargets(self.scenes, self.latents, self.tokenizer, LENGTH, num_paths)
        self._maker = BatchMaker(self.latents, NoStates(), self.tokenizer, CONFIG)

    def encode(self, scenes):
        """Return the latents of scenes."""
        return self._own_code.encode(render(scenes))

    def batch(self, samples, sigma, num_frames=None):
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


def outlines_like(scene, sizes, backgrounds, num_paths=NUM_PATHS):
    """Return the drawn outlines of a scene's motion and shape in its colour."""
    kinds = [(scene.motion, scene.shape, size) for size in sizes]
    pool = [s for s in outlined_scenes(num_paths) if (s.motion, s.shape, s.size) in kinds]
    return [
        replace(one, color=scene.color, background=background)
        for one, background in product(pool, backgrounds)
    ]


def mean_clip(codes, noisy, sigma):
    """Return the mean of clean clips (N, ...), all equally likely before one got noisy."""
    distance = (noisy - (1 - sigma) * codes).square().flatten(1).sum(1)
    weights = (-distance.double() / (2 * sigma**2)).softmax(0).float()
    return torch.einsum("n,n...->...", weights, codes)
