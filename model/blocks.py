"""One Wan block over two streams: shared attention, a feed-forward expert per modality.

Shapes: B batch, N_v video tokens, L caption tokens, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch import Tensor, nn

from model.attention import Rotary, mix, mix_parts, project, project_keys, project_query
from model.clip_keys import ClipKeys
from model.condition import Constant, Context


@dataclass(frozen=True)
class Stream:
    """One modality inside the blocks."""

    hidden: Tensor  # [B, N, d]
    context: Context
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

    def finish(
        self, stream: Stream, mixed: Tensor, expert: FeedForward, regions: Regions | None = None
    ) -> Stream:
        """Add self-attention `mixed` (B, N, d), cross-attention and the expert's output."""
        run, context = regions or EAGER, stream.context
        if isinstance(context, Constant):
            hidden = run.end_constant(self, stream, mixed, context.output, expert)
        else:
            pairs = self.prepare(context) if isinstance(context, Tensor) else context
            hidden, query = run.ask(self, stream, mixed)
            crossed = mix_parts(self.attn2, query, pairs)
            hidden = run.end(self, stream, hidden, crossed, expert)
        return replace(stream, hidden=hidden)

    def ask(self, stream: Stream, mixed: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden states after self-attention `mixed`, and what they ask the condition."""
        hidden = self._attended(stream, mixed)
        return hidden, project_query(self.attn2, self.norm2(hidden.float()).type_as(hidden))

    def end(self, stream: Stream, hidden: Tensor, crossed: Tensor, expert: FeedForward) -> Tensor:
        """Return hidden states after cross-attention `crossed` and the expert."""
        return self._through(stream, hidden + self._out(self.attn2, crossed), expert)

    def end_constant(
        self, stream: Stream, mixed: Tensor, crossed: Tensor, expert: FeedForward
    ) -> Tensor:
        """Return what `ask` and `end` do where cross-attention gives (1, 1, d) whoever asks."""
        return self._through(stream, self._attended(stream, mixed) + crossed, expert)

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

    def text_only(self, text: Stream, clips: Sequence[ClipKeys], regions: Regions) -> Stream:
        """Advance the caption stream against cached clips, each read by its part of the batch."""
        query, key, value = regions.project(self, text)
        rows = [clip.key.shape[0] for clip in clips]
        parts = zip(clips, *(part.split(rows) for part in (query, key, value)), strict=True)
        # one after the other: parts that read one clip write into the same room
        mixed = [mix(self.attn1, q, *clip.with_caption(k, v)) for clip, q, k, v in parts]
        return self.finish(text, torch.cat(mixed), self.ffn_text, regions)

    def _ask(self, asking: Stream, asked: Sequence[Stream], key_mask: Tensor | None) -> Tensor:
        keys = [self.keys(one) for one in asked]
        key, value = (torch.cat(tensors, 1) for tensors in zip(*keys, strict=True))
        query = project_query(self.attn1, self.normed(asking), asking.rotary)
        return mix(self.attn1, query, key, value, key_mask)

    def _attended(self, stream: Stream, mixed: Tensor) -> Tensor:
        gate = self._modulation(stream)[2]
        mixed = self._out(self.attn1, mixed)
        return (stream.hidden.float() + mixed * gate).type_as(stream.hidden)

    def _through(self, stream: Stream, hidden: Tensor, expert: FeedForward) -> Tensor:
        shift, scale, gate = self._modulation(stream)[3:]
        normed = modulate(self.norm3(hidden.float()), shift, scale, hidden)
        return (hidden.float() + expert(normed).float() * gate).type_as(hidden)

    def _out(self, attn: WanAttention, mixed: Tensor) -> Tensor:
        output: Tensor = attn.to_out[0](mixed)
        return output

    def _modulation(self, stream: Stream) -> tuple[Tensor, ...]:
        return (self.scale_shift_table + stream.modulation).chunk(6, dim=1)


def modulate(normed: Tensor, shift: Tensor, scale: Tensor, like: Tensor) -> Tensor:
    """Return normed (1 + scale) + shift, in the dtype of `like`."""
    return (normed * (1 + scale) + shift).type_as(like)


@dataclass(frozen=True)
class Regions:
    """What a block computes between attentions, as functions that a compiler may replace.

    Their shapes do not depend on how many clips are asked, nor on how long these are.
    """

    project: Callable[[UniViGUBlock, Stream], tuple[Tensor, Tensor, Tensor]]
    ask: Callable[[UniViGUBlock, Stream, Tensor], tuple[Tensor, Tensor]]
    end: Callable[[UniViGUBlock, Stream, Tensor, Tensor, FeedForward], Tensor]
    end_constant: Callable[[UniViGUBlock, Stream, Tensor, Tensor, FeedForward], Tensor]
    #: whether they are CUDA graphs, whose results last until the next step of their owner
    are_graphs: bool = False


EAGER = Regions(UniViGUBlock.project, UniViGUBlock.ask, UniViGUBlock.end, UniViGUBlock.end_constant)
