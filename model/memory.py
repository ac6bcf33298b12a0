"""How much memory a request will take, before it is started.

Counted from the shapes: what stays between two steps, and what one step needs on top. The factors
are upper bounds of what is alive at once in the code they stand for; a test holds them against
the bytes really alive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from diffusers import AutoencoderKLWan

from model.fp8 import has_fp8
from model.transformer import UniViGUTransformer

#: frames per chunk of the autoencoder, and frames that each of its convolutions remembers
_CHUNK, _REMEMBERED = 4, 2
#: whole activations alive at once in a stage of the autoencoder
_STAGE_COPIES = 9
#: latents alive in a step: noise, two velocities, their sum, the preview and the next
_LATENT_COPIES = 8


@dataclass(frozen=True)
class Need:
    """Bytes of a request."""

    held: int  # between two of its steps
    step: int  # on top, while one of its steps runs


def clip_shape(vae: AutoencoderKLWan, num_frames: int, height: int, width: int) -> tuple[int, ...]:
    """Return (F, H, W) of the latents of a clip."""
    config = vae.config
    frames = (num_frames - 1) // config.scale_factor_temporal + 1
    return frames, height // config.scale_factor_spatial, width // config.scale_factor_spatial


def generation_need(
    transformer: UniViGUTransformer,
    vae: AutoencoderKLWan,
    num_frames: int,
    height: int,
    width: int,
    *,
    has_draft: bool = False,
    has_feature_cache: bool = False,
) -> Need:
    """Return what making a video takes, its decoding included.

    Args:
        transformer: the network.
        vae: the autoencoder.
        num_frames: of the video.
        height: pixels.
        width: pixels.
        has_draft: whether a draft takes the prompt's place, which stays for the caption.
        has_feature_cache: whether passes may be left out.
    """
    branches = 3 if has_draft else 2
    shape = clip_shape(vae, num_frames, height, width)
    latents = 4 * transformer.config.in_channels * math.prod(shape)
    held = _LATENT_COPIES * latents + _remembered(vae, shape)
    held += branches * _condition_bytes(transformer)
    if has_feature_cache:
        held += branches * _feature_bytes(transformer, _num_tokens(transformer, shape))
    forward = _forward_bytes(transformer, _num_tokens(transformer, shape))
    return Need(held, max(forward + _logits_bytes(transformer), _coding_bytes(vae, shape)))


def understanding_need(
    transformer: UniViGUTransformer, vae: AutoencoderKLWan, num_frames: int, height: int, width: int
) -> Need:
    """Return what captioning a clip takes, its encoding included."""
    shape = clip_shape(vae, num_frames, height, width)
    config, tokens = transformer.config, _num_tokens(transformer, shape)
    size = transformer.proj_out.weight.element_size()
    keys = 2 * config.num_layers * (tokens + config.caption_length) * _width(transformer) * size
    held = keys + _condition_bytes(transformer) + _logits_bytes(transformer)
    pixels = 3 * (1 + 4 + size) * num_frames * height * width  # uint8, float, the network's
    coding = pixels + _remembered(vae, shape) + _coding_bytes(vae, shape)
    return Need(held, max(coding, _forward_bytes(transformer, tokens)))


def _width(transformer: UniViGUTransformer) -> int:
    config = transformer.config
    return int(config.num_attention_heads * config.attention_head_dim)


def _num_tokens(transformer: UniViGUTransformer, shape: tuple[int, ...]) -> int:
    patches = zip(shape, transformer.config.patch_size, strict=True)
    return math.prod(size // patch for size, patch in patches)


def _forward_bytes(transformer: UniViGUTransformer, video_tokens: int) -> int:
    """Return the activations of one block: states and their float copies, and the expert's."""
    config, size = transformer.config, transformer.proj_out.weight.element_size()
    per_token = _width(transformer) * (10 * size + 24) + 2 * config.ffn_dim * size
    if has_fp8(transformer):  # what is quantised is there as float32, too, before and after scaling
        per_token += config.ffn_dim * (8 - size)
    return int((video_tokens + config.caption_length) * per_token)


def _feature_bytes(transformer: UniViGUTransformer, video_tokens: int) -> int:
    """Return what entered the blocks and what they added, in a branch of guidance."""
    size = transformer.proj_out.weight.element_size()
    tokens = video_tokens + transformer.config.caption_length
    return int(2 * tokens * _width(transformer) * size)


def _logits_bytes(transformer: UniViGUTransformer) -> int:
    """Return logits with their float copies, and the weights of a draw from them."""
    config, size = transformer.config, transformer.proj_out.weight.element_size()
    return int(config.caption_length * config.caption_vocab_size * (size + 12))


def _condition_bytes(transformer: UniViGUTransformer) -> int:
    config, size = transformer.config, transformer.proj_out.weight.element_size()
    return int(2 * config.num_layers * config.condition_length * _width(transformer) * size)


def _stages(vae: AutoencoderKLWan, shape: tuple[int, ...]) -> list[int]:
    """Return the bytes of one frame of activations in each stage, the finest first."""
    config: Any = vae.config
    base = max(config.base_dim, config.decoder_base_dim or 0)
    pixels = shape[1] * shape[2] * config.scale_factor_spatial**2 // (config.patch_size or 1) ** 2
    multiples = [*config.dim_mult, config.dim_mult[-1]]  # a stage reads the width of a coarser one
    widths = [base * max(pair) for pair in pairwise(multiples)]
    return [width * (pixels >> 2 * at) * vae.dtype.itemsize for at, width in enumerate(widths)]


def _remembered(vae: AutoencoderKLWan, shape: tuple[int, ...]) -> int:
    """Return what the convolutions remember from one chunk to the next."""
    convolutions = 2 * (vae.config.num_res_blocks + 1) + 1
    return _REMEMBERED * convolutions * sum(_stages(vae, shape))


def _coding_bytes(vae: AutoencoderKLWan, shape: tuple[int, ...]) -> int:
    """Return the activations of one chunk."""
    return _STAGE_COPIES * _CHUNK * sum(_stages(vae, shape)[:2])
