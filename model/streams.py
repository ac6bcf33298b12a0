"""How the two streams enter the blocks and leave them, and which keys they may see there.

Shapes: B batch, N_v video tokens, L caption tokens, d width, C latent channels, V vocabulary.
"""

from __future__ import annotations

import torch
from diffusers.models.embeddings import TimestepEmbedding
from torch import Tensor

from model.attention import Rotary, text_rotary, video_rotary
from model.blocks import Stream, modulate
from model.condition import Condition
from model.layers import UniViGULayers

#: of video and of text queries, each (B, N_v + L) bool, true where a key may be seen; None sees all
KeyMasks = tuple[Tensor | None, Tensor | None]


def video_stream(
    layers: UniViGULayers, latents: Tensor, timestep: Tensor, condition: Condition
) -> Stream:
    """Return the video tokens of latents (B, C, F, H, W) at a timestep (B,)."""
    tokens = layers.patch_embedding(latents).flatten(2).transpose(1, 2).contiguous()
    embedder = layers.condition_embedder
    temb = _time_embedding(layers, embedder.time_embedder, timestep).to(condition.dtype)
    modulation = embedder.time_proj(embedder.act_fn(temb))
    rotary = video_rotary(*layers.rope(latents))
    return _stream(tokens, condition, modulation, temb, rotary)


def text_stream(
    layers: UniViGULayers,
    ids: Tensor | None,
    embeds: Tensor | None,
    timestep: Tensor | None,
    condition: Condition,
) -> Stream:
    """Return the caption tokens of ids (B, L) or embeddings (B, L, d) at a timestep (B,)."""
    assert timestep is not None, "a caption stream needs caption_timestep"
    states = layers.caption_embedding(ids) if embeds is None else embeds
    tokens = states.to(condition.dtype)
    temb = _time_embedding(layers, layers.caption_time_embedder, timestep).to(condition.dtype)
    modulation = layers.caption_time_proj(layers.condition_embedder.act_fn(temb))
    rotary = text_rotary(tokens.shape[1], layers.config.attention_head_dim, tokens.device)
    return _stream(tokens, condition, modulation, temb, rotary)


def video_head(layers: UniViGULayers, video: Stream, shape: torch.Size) -> Tensor:
    """Return the velocity, of the `shape` (B, C, F, H, W) of the latents."""
    shift, scale = (layers.scale_shift_table + video.temb[:, None]).chunk(2, dim=1)
    normed = modulate(layers.norm_out(video.hidden.float()), shift, scale, video.hidden)
    patches = layers.proj_out(normed)
    b, _, f, h, w = shape
    p_t, p_h, p_w = layers.config.patch_size
    grid = patches.reshape(b, f // p_t, h // p_h, w // p_w, p_t, p_h, p_w, -1)
    return grid.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def text_head(layers: UniViGULayers, text: Stream) -> Tensor:
    """Return the logits (B, L, V) of the clean caption."""
    shift, scale = (layers.text_scale_shift_table + text.temb[:, None]).chunk(2, dim=1)
    normed = layers.text_norm_out(text.hidden)
    logits: Tensor = layers.text_proj_out((normed * (1 + scale) + shift).type_as(text.hidden))
    return logits


def key_masks(
    video: Stream, text: Stream | None, caption_mask: Tensor | None, isolate: Tensor | None
) -> KeyMasks:
    """Return what video and text queries may see.

    Args:
        video: the video stream.
        text: the caption stream.
        caption_mask: (B, L) bool, true where a caption key may be seen; None sees all.
        isolate: (B,) bool, true where video queries see no caption keys.
    """
    if text is None or (caption_mask is None and isolate is None):
        return None, None
    batch, length = text.hidden.shape[:2]
    device = text.hidden.device
    seen = torch.ones(batch, video.hidden.shape[1], dtype=torch.bool, device=device)
    if caption_mask is None:
        caption_mask = torch.ones(batch, length, dtype=torch.bool, device=device)
    text_keys = torch.cat((seen, caption_mask.bool()), 1)
    if isolate is None:
        return text_keys, text_keys
    return torch.cat((seen, caption_mask.bool() & ~isolate[:, None]), 1), text_keys


def _time_embedding(layers: UniViGULayers, embedder: TimestepEmbedding, timestep: Tensor) -> Tensor:
    features = layers.condition_embedder.timesteps_proj(timestep)  # sinusoids in float32
    embedding: Tensor = embedder(features.to(embedder.linear_1.weight.dtype))
    return embedding


def _stream(
    hidden: Tensor, condition: Condition, modulation: Tensor, temb: Tensor, rotary: Rotary
) -> Stream:
    modulation = modulation.unflatten(1, (6, -1)).float()
    return Stream(hidden, condition.contexts[0], modulation, temb, rotary)
