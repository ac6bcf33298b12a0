"""One Wan block over two streams: shared attention, a feed-forward expert per modality.

Shapes: B batch, N_v video tokens, L caption tokens, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch import Tensor, nn

from model.attention import Rotary, mix, mix_parts, project, project_keys, project_query
from model.condition import Constant, Context


@dataclass(frozen=True)
class Stream:
    """One modality inside the blocks."""

    hidden: Tensor  # [B, N, d]
    context: Context
    modulation: Tensor  # [B, 6, d] float32, from this stream's own timestep
    temb: Tensor  # [B, d], for the output head
    rotary: Rotary


@dataclass(frozen=True)
class ClipKeys:
    """A clip's keys and values in one block, with room behind them for a caption's."""

    key: Tensor  # [B, N_v + L, heads, head_dim]
    value: Tensor
    num_tokens: int  # N_v

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.key.nbytes + self.value.nbytes

    @classmethod
    def with_room(cls, key: Tensor, value: Tensor, length: int) -> ClipKeys:
        """Keep keys and values (B, N_v, heads, head_dim), with room for captions of `length`."""
        batch, num_tokens, *head = key.shape
        room = key.new_zeros(batch, length, *head)
        return cls(torch.cat((key, room), 1), torch.cat((value, room), 1), num_tokens)

    def with_caption(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return all keys and values, after writing a caption's (B, L, heads, head_dim) in.

        The room is scratch: who asks next overwrites it.
        """
        end = self.num_tokens + key.shape[1]
        self.key[:, self.num_tokens : end] = key
        self.value[:, self.num_tokens : end] = value
        return self.key[:, :end], self.value[:, :end]


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
        return project(self.attn1, self.normed(stream), stream.rotary)

    def keys(self, stream: Stream) -> tuple[Tensor, Tensor]:
        """Return the stream's self-attention key and value (B, N, heads, head_dim)."""
        return project_keys(self.attn1, self.normed(stream), stream.rotary)

    def normed(self, stream: Stream) -> Tensor:
        """Return what self-attention reads of a stream, (B, N, d): normed and modulated."""
        shift, scale = self._modulation(stream)[:2]
        return modulate(self.norm1(stream.hidden.float()), shift, scale, stream.hidden)

    def prepare(self, states: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        """Return what cross-attention makes of condition states (B, c, d) in every step."""
        return (project_keys(self.attn2, states),)

    def prepare_constant(self, row: Tensor) -> Constant:
        """Return cross-attention to a condition whose rows all equal `row`, (1, 1, d)."""
        return Constant(self._out(self.attn2, self.attn2.to_v(row)))

    def finish(self, stream: Stream, mixed: Tensor, expert: FeedForward) -> Stream:
        """Add self-attention `mixed` (B, N, d), cross-attention and the expert's output."""
        _, _, gate, ffn_shift, ffn_scale, ffn_gate = self._modulation(stream)
        mixed = self._out(self.attn1, mixed)
        hidden = (stream.hidden.float() + mixed * gate).type_as(stream.hidden)
        hidden = hidden + self._cross(hidden, stream.context)
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
            return self.finish(video, mix(self.attn1, query, key, value), self.ffn), None
        text_query, text_key, text_value = self.project(text)
        key, value = torch.cat((key, text_key), 1), torch.cat((value, text_value), 1)
        if video_keys is None and text_keys is None:
            both = mix(self.attn1, torch.cat((query, text_query), 1), key, value)
            mixed, text_mixed = both.split((query.shape[1], text_query.shape[1]), dim=1)
        else:
            mixed = mix(self.attn1, query, key, value, video_keys)
            text_mixed = mix(self.attn1, text_query, key, value, text_keys)
        video = self.finish(video, mixed, self.ffn)
        return video, self.finish(text, text_mixed, self.ffn_text)

    def video_end(self, video: Stream, text: Stream, key_mask: Tensor | None) -> Stream:
        """Return what `forward` makes of the video, leaving out what only the caption needs."""
        return self.finish(video, self._ask(video, (video, text), key_mask), self.ffn)

    def text_end(self, video: Stream, text: Stream, key_mask: Tensor | None) -> Stream:
        """Return what `forward` makes of the caption, leaving out what only the video needs."""
        return self.finish(text, self._ask(text, (video, text), key_mask), self.ffn_text)

    def text_only(self, text: Stream, clips: Sequence[ClipKeys]) -> Stream:
        """Advance the caption stream against cached clips, each read by its part of the batch."""
        query, key, value = self.project(text)
        rows = [clip.key.shape[0] for clip in clips]
        parts = zip(clips, *(part.split(rows) for part in (query, key, value)), strict=True)
        # one after the other: parts that read one clip write into the same room
        mixed = [mix(self.attn1, q, *clip.with_caption(k, v)) for clip, q, k, v in parts]
        return self.finish(text, torch.cat(mixed), self.ffn_text)

    def _ask(self, asking: Stream, asked: Sequence[Stream], key_mask: Tensor | None) -> Tensor:
        keys = [self.keys(one) for one in asked]
        key, value = (torch.cat(tensors, 1) for tensors in zip(*keys, strict=True))
        query = project_query(self.attn1, self.normed(asking), asking.rotary)
        return mix(self.attn1, query, key, value, key_mask)

    def _cross(self, hidden: Tensor, context: Context) -> Tensor:
        if isinstance(context, Constant):
            return context.output
        if isinstance(context, Tensor):
            context = self.prepare(context)
        normed = self.norm2(hidden.float()).type_as(hidden)
        query = project_query(self.attn2, normed)
        return self._out(self.attn2, mix_parts(self.attn2, query, context))

    def _out(self, attn: WanAttention, mixed: Tensor) -> Tensor:
        output: Tensor = attn.to_out[0](mixed)
        return output

    def _modulation(self, stream: Stream) -> tuple[Tensor, ...]:
        return (self.scale_shift_table + stream.modulation).chunk(6, dim=1)


def modulate(normed: Tensor, shift: Tensor, scale: Tensor, like: Tensor) -> Tensor:
    """Return normed (1 + scale) + shift, in the dtype of `like`."""
    return (normed * (1 + scale) + shift).type_as(like)
