"""The one denoising loop for all modes, as an iterator over steps.

A mode is which of the two streams is at noise; a stream that is given has no sigma grid and is
never touched. The network comes in as a function, so that the loop can be tested with an oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from torch import Generator, Tensor

from model.flow import euler_step, predicted_clean
from model.text_flow import DiscreteFlow, TextFlow


class Mode(StrEnum):
    """Directions of a request, by which stream starts at noise."""

    #: both streams at noise: a video and its caption are made together
    JOINT = "joint"
    #: the caption stream is the prompt, clean; the paper's (tau_v, tau_t) = (0, 1)
    TEXT_TO_VIDEO = "text_to_video"
    #: the video is given, clean; the paper's (1, 0)
    UNDERSTAND = "understand"
    #: no caption stream
    VIDEO_ONLY = "video_only"


@dataclass(frozen=True)
class JointState:
    """Both streams and their noise levels; what is absent is None, what is given has sigma 0."""

    latents: Tensor | None  # [B, C, F, H, W] float32
    caption: Tensor | None  # draft of a `TextFlow`: [B, L] ids or [B, L, d] embeddings
    video_sigma: float = 0.0
    text_sigma: float = 0.0


@dataclass(frozen=True)
class Step:
    """What one step of the loop has reached."""

    index: int  # 1-based
    total: int
    latents: Tensor | None
    token_ids: Tensor | None  # [B, L] int64
    #: where the video would end by the current velocity: the preview of this step
    clean_latents: Tensor | None = None


#: returns velocity and caption logits of a state; None for a stream that nobody asked about
Denoise = Callable[[JointState], tuple[Tensor | None, Tensor | None]]


def sample_steps(
    state: JointState,
    denoise: Denoise,
    *,
    video_sigmas: list[float] | None,
    text_sigmas: list[float] | None,
    generator: Generator,
    text_flow: TextFlow | None = None,
) -> Iterator[Step]:
    """Denoise the streams that have a grid, one step at a time.

    Args:
        state: both streams at the start of their grids.
        denoise: the network.
        video_sigmas: N + 1 decreasing levels from 1 to 0; None if the video is given.
        text_sigmas: as many levels for the caption; None if it is given or absent.
        generator: CPU generator that decides which tokens move, and to what.
        text_flow: how the caption moves; None for ids.

    Yields:
        N steps, the last with both streams clean.

    Source: Uni-ViGU inference, with the exact jump rate of `model.flow`.
    """
    text_flow = text_flow or DiscreteFlow()
    total = len(video_sigmas or text_sigmas or [0]) - 1
    latents, caption = state.latents, state.caption
    for i in range(total):
        sigma_v = video_sigmas[i] if video_sigmas else 0.0
        sigma_t = text_sigmas[i] if text_sigmas else 0.0
        velocity, logits = denoise(JointState(latents, caption, sigma_v, sigma_t))
        clean = None
        if video_sigmas:
            assert latents is not None
            assert velocity is not None
            clean = predicted_clean(latents, velocity, sigma_v)
            latents = euler_step(latents, velocity, sigma_v, video_sigmas[i + 1])
        if text_sigmas:
            assert caption is not None
            assert logits is not None
            caption = text_flow.step(caption, logits, sigma_t, text_sigmas[i + 1], generator)
        ids = None if caption is None else text_flow.read(caption)
        yield Step(i + 1, total, latents, ids, clean)
