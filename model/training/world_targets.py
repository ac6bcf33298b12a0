"""Velocities to learn in the Moving Shapes world: the mean over all that a noisy clip could be.

The flow-matching target, noise minus the clip, is right on average only; at high noise most of its
loss is what nobody could know. In a world that can be drawn the average itself can be had. The
scene behind a clip is among those that are averaged, which leaves the target without bias, and with
less variance.

Source: Xu et al., "Stable Target Field for Reduced Variance Score Estimation" (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from model.training.data import Batch, Sample
from model.training.moving_shapes import Scene, coverages, render
from model.training.patch_code import PatchCode
from model.training.world_outlines import Outlines, tints
from model.training.world_words import Captions, place_of, prompts, texts, trained

#: outlines drawn for each motion, shape and size
NUM_PATHS = 96
_FIT_CLIPS = 256
_TEST_CLIPS = 32
#: share of the latents' variance that the linear code may miss
_LARGEST_MISS = 0.05


class WorldTargets:
    """Turns the velocity targets of a batch into their means.

    Attributes:
        code: the linear code.
        outlines: of the world, in it.
        captions: of the world.

    Args:
        scenes: scenes of the training world.
        latents: theirs, (n, C, F, H, W); the first few hundred fit the linear code.
        tokenizer: of the captions.
        caption_length: L.
        num_paths: outlines drawn for each motion, shape and size.

    Raises:
        ValueError: if there are too few scenes, or latents are not all but linear in the pixels.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        latents: Tensor,
        tokenizer: PreTrainedTokenizerBase,
        caption_length: int,
        num_paths: int = NUM_PATHS,
    ) -> None:
        self._scenes = scenes
        self.code = _linear_code(scenes, latents)
        self.outlines = Outlines.drawn(self.code, num_paths)
        self.captions = Captions(tokenizer, caption_length)

    @torch.no_grad()
    def sharpen(self, batch: Batch, samples: Sequence[Sample], above: float) -> Batch:
        """Return a batch whose targets are means where its noise is at least `above`.

        Args:
            batch: of some samples.
            samples: its rows.
            above: least noise level of the video; below it a clip is all but certain.
        """
        here = batch.rows(slice(None), torch.device("cpu"))  # where the outlines are
        velocity = here.velocity.clone()
        for row, sample in enumerate(samples):
            sigma = float(here.video_sigma[row])
            if sigma >= above and here.video_weight[row]:
                noisy = here.latents[row]
                clean = noisy - sigma * velocity[row]
                said = self._said_of(here, row, sample)
                mean = self._mean(self._scenes[sample.index], clean, noisy, sigma, said)
                velocity[row] = (noisy - mean) / sigma
        return replace(batch, velocity=velocity.to(batch.velocity.device))

    def said(self, prompt: str | None, noisy: Tensor, sigma: float) -> Tensor:
        """Return a table of the log-likelihood of a prompt and a noisy caption (L,)."""
        return _said_by(prompt) + self.captions.log_likelihood(noisy, sigma)

    def _said_of(self, batch: Batch, row: int, sample: Sample) -> Tensor:
        if batch.caption is None or batch.text_sigma is None:
            return _said_by(sample.condition)
        if sample.target in prompts():  # clean, in every stage that has captions as target
            return _said_by(sample.condition) + prompts()[sample.target].log()
        return self.said(sample.condition, batch.caption[row], float(batch.text_sigma[row]))

    def _mean(
        self, scene: Scene, clean: Tensor, noisy: Tensor, sigma: float, said: Tensor
    ) -> Tensor:
        own = self.code.outline(coverages([scene]))[0][:, :, : clean.shape[1]]
        *kind, color, background = place_of(scene)
        tinted = torch.einsum("a,acfhw->cfhw", tints()[color, background], own)
        plain = self.outlines.ground[background].view(len(clean), 1, *clean.shape[2:])
        missed = clean - plain - tinted  # by the code, and the same for all that it could be
        seen = noisy - (1 - sigma) * missed
        motion, shape, size = kind
        return missed + self.outlines.mean(seen, sigma, said, own, (motion, shape, size))


def _said_by(prompt: str | None) -> Tensor:
    return trained().log() + (0 if prompt is None else texts()[prompt].log())


def _linear_code(scenes: Sequence[Scene], latents: Tensor) -> PatchCode:
    needed = _FIT_CLIPS + _TEST_CLIPS
    if len(scenes) < needed:
        raise ValueError(f"scenes {len(scenes)}: must be at least {needed} for exact_above")
    clips, wanted = render(scenes[:needed]), latents[:needed].float()
    code = PatchCode.regress(clips[:_FIT_CLIPS], wanted[:_FIT_CLIPS])
    unseen = wanted[_FIT_CLIPS:]
    missed = float((code.encode(clips[_FIT_CLIPS:]) - unseen).square().mean() / unseen.var())
    if missed > _LARGEST_MISS:
        raise ValueError(
            f"exact_above: a linear code misses {missed:.2f} of the latents' variance, "
            f"and may miss {_LARGEST_MISS}"
        )
    return code
