"""Rotary positions and the attention call that both streams share.

Projections and norms are diffusers' `WanAttention`; only what its processor cannot do lives here:
two kinds of rotary positions and keys that come from both streams or from a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor

TEXT_ROPE_BASE = 10_000.0


@dataclass(frozen=True)
class InterleavedRotary:
    """Wan's rotary: neighbouring channels are a pair."""

    cos: Tensor  # [1, N, 1, head_dim / 2]
    sin: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Rotate."""
        even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
        pairs = torch.stack(
            (even * self.cos - odd * self.sin, even * self.sin + odd * self.cos), -1
        )
        return pairs.flatten(-2).type_as(x)


@dataclass(frozen=True)
class HalvesRotary:
    """NeoX's rotary: a channel's pair is half a head away."""

    cos: Tensor  # [1, N, 1, head_dim / 2]
    sin: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Rotate."""
        first, second = x.chunk(2, dim=-1)
        halves = (first * self.cos - second * self.sin, second * self.cos + first * self.sin)
        return torch.cat(halves, dim=-1).type_as(x)


#: applies rotary positions to queries or keys [B, N, heads, head_dim]
Rotary = InterleavedRotary | HalvesRotary


def video_rotary(cos: Tensor, sin: Tensor) -> Rotary:
    """Return the rotary of a video grid.

    Args:
        cos: (1, N_v, 1, head_dim) float, from diffusers' `WanRotaryPosEmbed`.
        sin: as `cos`.
    """
    return InterleavedRotary(cos[..., 0::2], sin[..., 1::2])


def text_rotary(length: int, head_dim: int, device: torch.device) -> Rotary:
    """Return the rotary of caption positions 0..length-1.

    Source: released Uni-ViGU checkpoint, base 1e4 over the whole head.
    """
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    position = torch.arange(length, dtype=torch.float32, device=device)
    angle = torch.outer(position, TEXT_ROPE_BASE**-exponent)[None, :, None]  # [1, L, 1, D/2]
    return HalvesRotary(angle.cos(), angle.sin())


def project_query(attn: WanAttention, hidden: Tensor, rotary: Rotary | None = None) -> Tensor:
    """Return the query (B, N, heads, head_dim) of hidden states (B, N, d)."""
    return _ready(attn, attn.norm_q(attn.to_q(hidden)), rotary)


def project_keys(
    attn: WanAttention, context: Tensor, rotary: Rotary | None = None
) -> tuple[Tensor, Tensor]:
    """Return key and value (B, M, heads, head_dim) of what is asked, (B, M, d)."""
    if attn.fused_projections and attn.is_cross_attention:
        key, value = attn.to_kv(context).chunk(2, dim=-1)
    else:
        key, value = attn.to_k(context), attn.to_v(context)
    return _ready(attn, attn.norm_k(key), rotary), _ready(attn, value)


def project(attn: WanAttention, hidden: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value of self-attention, each (B, N, heads, head_dim)."""
    if not attn.fused_projections:
        return project_query(attn, hidden, rotary), *project_keys(attn, hidden, rotary)
    query, key, value = attn.to_qkv(hidden).chunk(3, dim=-1)
    query, key = attn.norm_q(query), attn.norm_k(key)
    return _ready(attn, query, rotary), _ready(attn, key, rotary), _ready(attn, value)


def _ready(attn: WanAttention, projected: Tensor, rotary: Rotary | None = None) -> Tensor:
    heads = projected.unflatten(2, (attn.heads, -1))
    return heads if rotary is None else rotary(heads)


def mix(
    attn: WanAttention, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None = None
) -> Tensor:
    """Return softmax attention before its output projection, (B, N, d).

    Args:
        attn: owner of the backend choice.
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
    return mixed.flatten(2).type_as(query)


def mix_parts(attn: WanAttention, query: Tensor, parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return `mix` of a batch whose parts each read keys and values of their own.

    Args:
        attn: see `mix`.
        query: (B, N, heads, head_dim).
        parts: keys and values; their batch sizes add up to B.
    """
    if len(parts) == 1:
        return mix(attn, query, *parts[0])
    queries = query.split([key.shape[0] for key, _ in parts])
    return torch.cat([mix(attn, q, *part) for q, part in zip(queries, parts, strict=True)])
