"""A step that makes video and caption together against one that makes the video alone."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.paired import Row, interleave, timed
from benchmarks.small import new_condition, new_ids, new_latents, new_transformer, seeded
from model.denoisers import guided
from model.sampler import JointState, sample_steps
from model.transformer import UniViGUTransformer

VIDEO_TOKENS, CAPTION_LENGTH, PAIRS = 4096, 24, 5
#: the step that is timed, from one noise level to the next
SIGMAS = [0.8, 0.7]


class Maker:
    """One prompt and one noise, with or without a caption beside the video."""

    def __init__(self, transformer: UniViGUTransformer, video_tokens: int) -> None:
        self._transformer = transformer
        self._noise = new_latents(transformer, video_tokens)
        self._condition = new_condition(transformer)
        self._draft = new_ids(transformer)

    @torch.inference_mode()
    def step(self, *, joint: bool) -> Tensor:
        """Return the latents after one step of the sampler, guidance apart."""
        denoise = guided(self._transformer, self._condition, guidance_scale=1, noise_caption=None)
        (step,) = sample_steps(
            JointState(self._noise, self._draft if joint else None),
            denoise,
            video_sigmas=SIGMAS,
            text_sigmas=SIGMAS if joint else None,
            generator=seeded(4),
        )
        assert step.latents is not None
        return step.latents

    def flops(self, *, joint: bool) -> int:
        """Return the operations of a step; the fused attention of CPUs counts as none, so spell."""
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            self.step(joint=joint)
        return int(counter.get_total_flops())

    @torch.inference_mode()
    def check(self) -> None:
        """Assert that the caption is what differs: with its keys hidden, the videos are equal."""
        time = torch.tensor([1000 * SIGMAS[0]])
        alone = (self._noise, time, self._condition)
        hidden = torch.zeros_like(self._draft, dtype=torch.bool)
        velocity = self._transformer(*alone)[0]
        beside = self._transformer(*alone, self._draft, time, hidden)[0]
        torch.testing.assert_close(beside, velocity, atol=1e-5, rtol=0)
        free = self._transformer(*alone, self._draft, time)[0]
        assert not torch.equal(free, velocity), "the video does not read the caption"


def run() -> list[Row]:
    """Measure time and operations of a step of either kind."""
    maker = Maker(new_transformer(caption_length=CAPTION_LENGTH), VIDEO_TOKENS)
    maker.check()
    joint, alone = maker.flops(joint=True), maker.flops(joint=False)
    pairs = interleave(
        timed(partial(maker.step, joint=True)), timed(partial(maker.step, joint=False)), PAIRS
    )
    return [
        Row(
            "joint step: time with caption / video alone",
            pairs.ratio,
            limit=1.15,
            sense="max",
            detail=pairs.describe("joint", "alone"),
        ),
        Row(
            "joint step: FLOPs with caption / video alone",
            joint / alone,
            limit=1.02,
            sense="max",
            detail=f"joint {joint / 1e9:.2f} GFLOP, alone {alone / 1e9:.2f} GFLOP",
        ),
    ]
