"""One Wan block over two streams: shared attention, a feed-forward expert per modality.

Shapes: B batch, N_v video tokens, L caption tokens, d width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch import Tensor, nn

from model.attention import Rotary, attend, project


@dataclass(frozen=True)
class Stream:
    """One modality inside the blocks."""

    hidden: Tensor  # [B, N, d]
    context: Tensor  # [B, c, d], the condition this stream cross-attends to
    modulation: Tensor  # [B, 6, d] float32, from this stream's own timestep
    temb: Tensor  # [B, d], for the output head
    rotary: Rotary


class UniViGUBlock(nn.Module):
    """One Wan block with a second feed-forward expert for text.

    Source: Wan2.1 block as in diffusers; the text expert and the shared modulation table as in the
    released Uni-ViGU checkpoint.
    """

    def __init__(self, dim: int, ffn_dim: int, num_heads: int, cross_attn_norm: bool, eps: float):
        super().__init__()
        head_dim = dim // num_heads
        self.norm1 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        attention = partial(WanAttention, dim=dim, heads=num_heads, dim_head=head_dim, eps=eps)
        self.attn1 = attention(processor=WanAttnProcessor())
        self.attn2 = attention(processor=WanAttnProcessor(), cross_attention_dim_head=head_dim)
        self.norm2 = (
            FP32LayerNorm(dim, eps, elementwise_affine=True) if cross_attn_norm else nn.Identity()
        )
        self.ffn = FeedForward(dim, inner_dim=ffn_dim, activation_fn="gelu-approximate")
        self.ffn_text = FeedForward(dim, inner_dim=ffn_dim, activation_fn="gelu-approximate")
        self.norm3 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def project(self, stream: Stream) -> tuple[Tensor, Tensor, Tensor]:
        """Return the stream's self-attention query, key and value (B, N, heads, head_dim)."""
        shift, scale = self._modulation(stream)[:2]
        normed = modulate(self.norm1(stream.hidden.float()), shift, scale, stream.hidden)
        return project(self.attn1, normed, normed, stream.rotary)

    def finish(self, stream: Stream, mixed: Tensor, expert: FeedForward) -> Stream:
        """Add self-attention output `mixed` (B, N, d), cross-attention and the expert's output."""
        _, _, gate, ffn_shift, ffn_scale, ffn_gate = self._modulation(stream)
        hidden = (stream.hidden.float() + mixed * gate).type_as(stream.hidden)

        normed = self.norm2(hidden.float()).type_as(hidden)
        hidden = hidden + attend(self.attn2, *project(self.attn2, normed, stream.context))

        normed = modulate(self.norm3(hidden.float()), ffn_shift, ffn_scale, hidden)
        hidden = (hidden.float() + expert(normed).float() * ffn_gate).type_as(hidden)
        return replace(stream, hidden=hidden)

    def forward(
        self,
        video: Stream,
        text: Stream | None,
        video_keys: Tensor | None,
        text_keys: Tensor | None,
    ) -> tuple[Stream, Stream | None]:
        """Advance both streams by one block.

        Args:
            video: the video stream.
            text: the caption stream, None where there is none.
            video_keys: (B, N_v + L) bool, keys that video queries may see; None sees all.
            text_keys: the same for text queries.
        """
        query, key, value = self.project(video)
        if text is None:
            return self.finish(video, attend(self.attn1, query, key, value), self.ffn), None
        text_query, text_key, text_value = self.project(text)
        key, value = torch.cat((key, text_key), 1), torch.cat((value, text_value), 1)
        if video_keys is None and text_keys is None:
            both = attend(self.attn1, torch.cat((query, text_query), 1), key, value)
            mixed, text_mixed = both.split((query.shape[1], text_query.shape[1]), dim=1)
        else:
            mixed = attend(self.attn1, query, key, value, video_keys)
            text_mixed = attend(self.attn1, text_query, key, value, text_keys)
        video = self.finish(video, mixed, self.ffn)
        return video, self.finish(text, text_mixed, self.ffn_text)

    def text_only(self, text: Stream, video_key: Tensor, video_value: Tensor) -> Stream:
        """Advance the caption stream against cached video keys and values."""
        query, key, value = self.project(text)
        key, value = torch.cat((video_key, key), 1), torch.cat((video_value, value), 1)
        return self.finish(text, attend(self.attn1, query, key, value), self.ffn_text)

    def _modulation(self, stream: Stream) -> tuple[Tensor, ...]:
        return (self.scale_shift_table + stream.modulation).chunk(6, dim=1)


def modulate(normed: Tensor, shift: Tensor, scale: Tensor, like: Tensor) -> Tensor:
    """Return normed (1 + scale) + shift, in the dtype of `like`."""
    return (normed * (1 + scale) + shift).type_as(like)
