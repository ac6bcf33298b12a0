"""Captions on their way, each with noise of its own; those that can be share their steps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import sha256

from diffusers import AutoencoderKLWan
from torch import Tensor

from model import latents
from model.cached_video import VideoCache
from model.caches import ByteLimited
from model.denoisers import Question, answer, full_understanding, look_at
from model.refreshed import RefreshedUnderstanding
from model.sampler import Denoise, Sampling, Step
from model.transformer import UniViGUTransformer


class Understanding:
    """A caption, or an answer, that is being denoised.

    Args:
        sampling: the caption stream.
        network: the question, or, where every step needs a whole forward, the network to ask.
    """

    def __init__(self, sampling: Sampling, network: Question | Denoise) -> None:
        self.sampling, self.network = sampling, network

    @property
    def is_done(self) -> bool:
        """Whether the caption is finished."""
        return self.sampling.is_done

    @property
    def num_reused(self) -> int:
        """Steps so far that read the video as an earlier step saw it; 0 where all are exact."""
        network = self.network
        return network.num_reused if isinstance(network, RefreshedUnderstanding) else 0

    @property
    def group(self) -> Hashable | None:
        """What must be equal for captions to share their steps; None for one that never does."""
        if not isinstance(self.network, Question):
            return None
        return self.network.condition.is_constant


def network_of(
    transformer: UniViGUTransformer,
    vae: AutoencoderKLWan,
    clips: ByteLimited[VideoCache],
    frames: Tensor,
    condition: Tensor | None,
    refresh_interval: int | None = None,
) -> Question | Denoise:
    """Return the network for a given video, as its checkpoint was trained to understand.

    Args:
        transformer: the network.
        vae: encodes the video.
        clips: what is known of earlier videos, by their content.
        frames: (1, F, H, W, 3) uint8.
        condition: (1, c, text_dim) states of a question; None asks for the caption.
        refresh_interval: steps from one look at the video to the next; None looks in every step.

    Raises:
        ValueError: for an interval where one look is enough for all steps.
    """
    is_isolated = transformer.config.understanding_attention == "isolated"
    if is_isolated and refresh_interval is not None:
        raise ValueError(
            f"video_refresh_interval {refresh_interval}: this checkpoint looks at a video once, "
            "which is exact"
        )

    def clean() -> Tensor:
        pixels = latents.from_uint8(frames.to(transformer.device))
        return latents.encode_pixels(vae, pixels)

    if condition is None:
        prepared = transformer.prepare_null(_no_condition(transformer))
    else:
        prepared = transformer.prepare_condition(condition)
    if is_isolated:
        key = sha256(frames.cpu().contiguous().numpy().data).digest(), frames.shape
        return Question(clips.get(key, lambda: look_at(transformer, clean())), prepared)
    if refresh_interval is not None:
        return RefreshedUnderstanding(transformer, clean(), prepared, refresh_interval)
    return full_understanding(transformer, clean(), prepared, isolate=False)


def _no_condition(transformer: UniViGUTransformer) -> Tensor:
    """Return an empty (1, c, text_dim) condition, without running the text encoder."""
    config, weight = transformer.config, transformer.proj_out.weight
    return weight.new_zeros(1, config.condition_length, config.text_dim)


def advance(transformer: UniViGUTransformer, captions: Sequence[Understanding]) -> list[Step]:
    """Move captions of one group a step; without a group, one alone."""
    first = captions[0]
    if not isinstance(first.network, Question):
        assert len(captions) == 1
        return [first.sampling.advance(*first.network(first.sampling.state))]
    questions = [one.network for one in captions if isinstance(one.network, Question)]
    logits = answer(transformer, questions, [one.sampling.state for one in captions])
    return [one.sampling.advance(None, own) for one, own in zip(captions, logits, strict=True)]
