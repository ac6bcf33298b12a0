"""Captions on their way, each with noise of its own; those that can be share their steps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import sha256

from diffusers import AutoencoderKLWan
from torch import Tensor

from model import latents
from model.caches import ByteLimited
from model.denoisers import Question, answer, full_understanding, look_at
from model.sampler import Denoise, Sampling, Step
from model.transformer import UniViGUTransformer, VideoCache


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
) -> Question | Denoise:
    """Return the network for a given video, as its checkpoint was trained to understand.

    Args:
        transformer: the network.
        vae: encodes the video.
        clips: what is known of earlier videos, by their content.
        frames: (1, F, H, W, 3) uint8.
        condition: (1, c, text_dim) states of a question; None asks for the caption.
    """

    def clean() -> Tensor:
        pixels = latents.from_uint8(frames.to(transformer.device))
        return latents.encode_pixels(vae, pixels)

    if transformer.config.understanding_attention == "isolated":
        key = sha256(frames.cpu().contiguous().numpy().data).digest(), frames.shape
        clip = clips.get(key, lambda: look_at(transformer, clean()))
        if condition is None:
            return Question(clip, transformer.prepare_null(_no_condition(transformer)))
        return Question(clip, transformer.prepare_condition(condition))
    if condition is None:
        condition = transformer.null_embeds(_no_condition(transformer))
    return full_understanding(transformer, clean(), condition, isolate=False)


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
