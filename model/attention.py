"""Rotary positions and the attention call that both streams share.

Projections and norms are diffusers' `WanAttention`; only what its processor cannot do lives here:
two kinds of rotary positions and keys that come from both streams or from a cache.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor

#: applies rotary positions to queries or keys [B, N, heads, head_dim]
Rotary = Callable[[Tensor], Tensor]

TEXT_ROPE_BASE = 10_000.0


def video_rotary(cos: Tensor, sin: Tensor) -> Rotary:
    """Return Wan's rotary for interleaved pairs.

    Args:
        cos: (1, N_v, 1, head_dim) float, from diffusers' `WanRotaryPosEmbed`.
        sin: as `cos`.
    """
    cos, sin = cos[..., 0::2], sin[..., 1::2]

    def rotate(x: Tensor) -> Tensor:
        even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
        pairs = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
        return pairs.flatten(-2).type_as(x)

    return rotate


def text_rotary(length: int, head_dim: int, device: torch.device) -> Rotary:
    """Return the rotary of caption positions 0..length-1, pairing halves (NeoX).

    Source: released Uni-ViGU checkpoint, base 1e4 over the whole head.
    """
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    position = torch.arange(length, dtype=torch.float32, device=device)
    angle = torch.outer(position, TEXT_ROPE_BASE**-exponent)[None, :, None]  # [1, L, 1, D/2]
    cos, sin = angle.cos(), angle.sin()

    def rotate(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        halves = (first * cos - second * sin, second * cos + first * sin)
        return torch.cat(halves, dim=-1).type_as(x)

    return rotate


def project(
    attn: WanAttention, hidden: Tensor, context: Tensor, rotary: Rotary | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value, each (B, N, heads, head_dim), normalised and rotated.

    Args:
        attn: the module that owns the projections.
        hidden: (B, N, d), what asks.
        context: (B, M, d), what is asked; `hidden` itself in self-attention.
        rotary: positions for queries and keys alike, None for none.
    """
    heads = (attn.heads, -1)
    query = attn.norm_q(attn.to_q(hidden)).unflatten(2, heads)
    key = attn.norm_k(attn.to_k(context)).unflatten(2, heads)
    value = attn.to_v(context).unflatten(2, heads)
    if rotary is not None:
        query, key = rotary(query), rotary(key)
    return query, key, value


def attend(
    attn: WanAttention, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None = None
) -> Tensor:
    """Return softmax attention and output projection, (B, N, d).

    Args:
        attn: owner of the output projection and of the backend choice.
        query: (B, N, heads, head_dim).
        key: (B, M, heads, head_dim).
        value: as `key`.
        key_mask: (B, M) bool, true where a key may be seen; None sees all.
    """
    mixed = dispatch_attention_fn(
        query,
        key,
        value,
        attn_mask=None if key_mask is None else key_mask[:, None, None],
        backend=attn.processor._attention_backend,
    )
    return attn.to_out[0](mixed.flatten(2).type_as(query))
