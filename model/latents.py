"""Pixels to normalised latents and back, through diffusers' `AutoencoderKLWan`.

Decoding yields one chunk of frames per latent frame, so that an encoder can start on the first
while the next is decoded; its cache belongs to the call, so that jobs can take turns.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor


def _statistics(vae: AutoencoderKLWan, like: Tensor) -> tuple[Tensor, Tensor]:
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean, device=like.device).view(shape)
    std = torch.tensor(vae.config.latents_std, device=like.device).view(shape)
    return mean, std


def latent_shape(
    vae: AutoencoderKLWan,
    patch_size: tuple[int, int, int],
    height: int,
    width: int,
    num_frames: int,
) -> tuple[int, int, int]:
    """Return (F, H, W) of the latents of a clip.

    Args:
        vae: gives the compression.
        patch_size: latent frames, rows and columns per token of the transformer.
        height: pixels.
        width: pixels.
        num_frames: frames.

    Raises:
        ValueError: naming field, value and rule, if the clip does not divide into tokens.
    """
    spatial, temporal = vae.config.scale_factor_spatial, vae.config.scale_factor_temporal
    for name, value, patch in (("height", height, patch_size[1]), ("width", width, patch_size[2])):
        unit = spatial * patch
        if value <= 0 or value % unit:
            raise ValueError(f"{name} {value}: must be a multiple of {unit}")
    if num_frames <= 0 or (num_frames - 1) % temporal:
        raise ValueError(f"num_frames {num_frames}: must be a multiple of {temporal}, plus 1")
    return (num_frames - 1) // temporal + 1, height // spatial, width // spatial


def encode_pixels(vae: AutoencoderKLWan, pixels: Tensor) -> Tensor:
    """Return normalised latents of clips, without sampling noise.

    Args:
        vae: the autoencoder.
        pixels: (B, 3, F, H, W) float in [-1, 1]; F = 4k + 1.

    Returns:
        (B, C, k + 1, H/8, W/8) float32, (z - latents_mean) / latents_std of the posterior's mode.

    Source: diffusers' Wan pipelines; the released Uni-ViGU inference leaves out the scaling.
    """
    latents = vae.encode(pixels.to(vae.dtype)).latent_dist.mode().float()
    mean, std = _statistics(vae, latents)
    return (latents - mean) / std


def decode_chunks(vae: AutoencoderKLWan, latents: Tensor) -> Iterator[Tensor]:
    """Yield pixels for one latent frame after the other: 1 frame, then 4 each.

    Args:
        vae: the autoencoder.
        latents: (B, C, F, H, W) normalised latents.

    Yields:
        (B, 3, n, 8H, 8W) in the autoencoder's dtype, about [-1, 1], not clamped.
    """
    mean, std = _statistics(vae, latents)
    hidden = vae.post_quant_conv((latents.float() * std + mean).to(vae.dtype))
    cache = [None] * vae._cached_conv_counts["decoder"]
    for i in range(hidden.shape[2]):
        chunk = vae.decoder(
            hidden[:, :, i : i + 1], feat_cache=cache, feat_idx=[0], first_chunk=i == 0
        )
        patch_size = vae.config.patch_size
        yield chunk if patch_size is None else unpatchify(chunk, patch_size=patch_size)


def to_uint8(pixels: Tensor) -> Tensor:
    """Return frames (B, n, H, W, 3) uint8 of pixels (B, 3, n, H, W) in [-1, 1], on the device."""
    scaled = pixels.float().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 4, 1)


def from_uint8(frames: Tensor) -> Tensor:
    """Return pixels (B, 3, n, H, W) float32 in [-1, 1] of frames (B, n, H, W, 3) uint8."""
    return frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
