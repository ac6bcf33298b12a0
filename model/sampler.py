"""The one denoising loop for all modes, as an iterator over steps.

A mode is which of the two streams is at noise; a stream that is given has no sigma grid and is
never touched. The network comes in as a function, so that the loop can be tested with an oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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

    @property
    def has_clean_caption(self) -> bool:
        """Whether there is a caption, and nothing of it is left to be made."""
        return self.caption is not None and self.text_sigma == 0


@dataclass(frozen=True)
class Step:
    """What one step of the loop has reached."""

    index: int  # 1-based
    total: int
    latents: Tensor | None
    token_ids: Tensor | None  # [B, L] int64
    #: where the video would end by the current velocity: the preview of this step
    clean_latents: Tensor | None = None
    #: noise level of the caption
    text_sigma: float = 0.0


#: returns velocity and caption logits of a state; None for a stream that nobody asked about
Denoise = Callable[[JointState], tuple[Tensor | None, Tensor | None]]


class Sampling:
    """The streams on their way down their grids, one answer of the network at a time.

    Args:
        state: both streams at the start of their grids.
        video_sigmas: N + 1 decreasing levels from 1 to 0; None if the video is given.
        text_sigmas: as many levels for the caption, which may come to 0 earlier and then needs no
            logits; None if it is given or absent.
        generator: CPU generator that decides which tokens move, and to what.
        text_flow: how the caption moves; None for ids.
        rereads: whether the last step forgets the caption's draft and reads the all but finished
            video anew, from noise: what a video was planned by may not be what it came to show.

    Source: Uni-ViGU inference, with the exact jump rate of `model.flow`.
    """

    def __init__(
        self,
        state: JointState,
        *,
        video_sigmas: list[float] | None,
        text_sigmas: list[float] | None,
        generator: Generator,
        text_flow: TextFlow | None = None,
        rereads: bool = False,
    ) -> None:
        self._latents, self._caption = state.latents, state.caption
        self._unread = state.caption if rereads else None
        self._video_sigmas, self._text_sigmas = video_sigmas, text_sigmas
        self._generator, self._text_flow = generator, text_flow or DiscreteFlow()
        #: steps done
        self.index = 0
        self.total = len(video_sigmas or text_sigmas or [0]) - 1

    @property
    def is_done(self) -> bool:
        """Whether both streams are clean."""
        return self.index == self.total

    @property
    def state(self) -> JointState:
        """What the network is asked about next."""
        i = self.index
        sigma_v = self._video_sigmas[i] if self._video_sigmas else 0.0
        sigma_t = self._text_sigmas[i] if self._text_sigmas else 0.0
        if self._text_sigmas and self._unread is not None and i == self.total - 1:
            return JointState(self._latents, self._unread, sigma_v, 1.0)
        return JointState(self._latents, self._caption, sigma_v, sigma_t)

    def advance(self, velocity: Tensor | None, logits: Tensor | None) -> Step:
        """Take the network's answer to `state` and move the streams that have a grid."""
        state, after = self.state, self.index + 1
        clean, text_sigma = None, 0.0
        if self._video_sigmas:
            assert state.latents is not None
            assert velocity is not None
            clean = predicted_clean(state.latents, velocity, state.video_sigma)
            sigma = self._video_sigmas[after]
            self._latents = euler_step(state.latents, velocity, state.video_sigma, sigma)
        if self._text_sigmas and state.text_sigma:
            assert state.caption is not None
            assert logits is not None
            text_sigma = self._text_sigmas[after]
            self._caption = self._text_flow.step(
                state.caption, logits, state.text_sigma, text_sigma, self._generator
            )
        self.index = after
        ids = None if self._caption is None else self._text_flow.read(self._caption)
        return Step(after, self.total, self._latents, ids, clean, text_sigma)


def sample_steps(state: JointState, denoise: Denoise, **options: Any) -> Iterator[Step]:
    """Denoise the streams that have a grid, one step at a time.

    Args:
        state: both streams at the start of their grids.
        denoise: the network.
        options: see `Sampling`.

    Yields:
        N steps, the last with both streams clean.
    """
    sampling = Sampling(state, **options)
    while not sampling.is_done:
        yield sampling.advance(*denoise(sampling.state))
