"""A caption from cached video keys and values against a whole forward in every step."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.paired import Row, interleave, timed
from benchmarks.small import new_condition, new_ids, new_latents, new_transformer, seeded
from model.denoisers import full_understanding, isolated_understanding
from model.sampler import Denoise, JointState, sample_steps
from model.schedule import sigma_grid
from model.transformer import UniViGUTransformer

VIDEO_TOKENS, CAPTION_LENGTH, STEPS, PAIRS = 2048, 32, 20, 3


class Captioner:
    """One clip and one question, captioned either way.

    Args:
        transformer: the network.
        video_tokens: N_v of the clip.
        steps: K.
    """

    def __init__(self, transformer: UniViGUTransformer, video_tokens: int, steps: int) -> None:
        self._transformer, self._steps = transformer, steps
        self._clip = new_latents(transformer, video_tokens)
        self._condition = new_condition(transformer)
        self._draft = new_ids(transformer)

    @torch.inference_mode()
    def cached(self) -> list[Tensor]:
        """Return the ids after every step, the video seen once."""
        denoise = isolated_understanding(self._transformer, self._clip, self._condition)
        return self._sample(denoise)

    @torch.inference_mode()
    def full(self) -> list[Tensor]:
        """Return the ids after every step, the video run through the network in each."""
        denoise = full_understanding(self._transformer, self._clip, self._condition, isolate=True)
        return self._sample(denoise)

    def check(self) -> None:
        """Assert that both give the same tokens in every step."""
        for one, other in zip(self.cached(), self.full(), strict=True):
            assert torch.equal(one, other), "the cached caption is another one"

    def _sample(self, denoise: Denoise) -> list[Tensor]:
        steps = sample_steps(
            JointState(None, self._draft),
            denoise,
            video_sigmas=None,
            text_sigmas=sigma_grid(self._steps, 1.0),
            generator=seeded(4),
        )
        return [step.token_ids for step in steps if step.token_ids is not None]


def run() -> list[Row]:
    """Measure whole captions, the pass that fills the cache included."""
    captioner = Captioner(new_transformer(caption_length=CAPTION_LENGTH), VIDEO_TOKENS, STEPS)
    captioner.check()
    pairs = interleave(timed(captioner.full), timed(captioner.cached), PAIRS)
    return [
        Row(
            "captioning: full forwards / cached video",
            pairs.ratio,
            limit=10,
            sense="min",
            detail=pairs.describe("full", "cached"),
        )
    ]
