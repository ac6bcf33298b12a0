"""Captions from a clip's keys and values, without running the video again.

Shapes: B batch, N_v video tokens, L caption tokens, d width, C latent channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from model.attention import mix
from model.blocks import EAGER, Regions
from model.clip_keys import ClipKeys
from model.condition import Condition
from model.layers import UniViGULayers
from model.streams import text_head, text_stream, video_stream

#: a clip's keys and values, block by block
VideoCache = tuple[ClipKeys, ...]


class CachedVideo(UniViGULayers):
    """Fills a cache of a clip, and reads it."""

    #: what the blocks run while a cache is filled, and while it is read
    video_regions: Regions = EAGER
    text_regions: Regions = EAGER

    def cache_video(
        self, hidden_states: Tensor, timestep: Tensor, encoder_hidden_states: Tensor
    ) -> VideoCache:
        """Return every block's video keys and values with the video isolated.

        They depend on the clip and the weights alone, so that one pass serves every text step,
        instruction and seed. `encoder_hidden_states` gives batch, length and dtype only.
        """
        condition = self.prepare_null(encoder_hidden_states)
        video = video_stream(self, hidden_states, timestep, condition)
        cache, run = [], self.video_regions
        for index, block in enumerate(self.typed_blocks):
            query, key, value = run.project(block, video)
            cache.append(ClipKeys.with_room(key, value, self.config.caption_length))
            if index + 1 < len(self.blocks):  # nothing reads the last block's video output
                video = replace(video, context=condition.contexts[index])
                video = block.finish(video, mix(block.attn1, query, key, value), block.ffn, run)
        return tuple(cache)

    def refresh_video(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        condition: Condition,
        caption_ids: Tensor | None,
        caption_timestep: Tensor,
        *,
        caption_embeds: Tensor | None = None,
    ) -> tuple[VideoCache, Tensor]:
        """Return the video's keys and values beside a caption draft, and the draft's logits.

        The logits are those of `forward`, to the bit. The video has read the draft: for another
        draft these keys and values are an approximation. Arguments as for `forward`.
        """
        video = video_stream(self, hidden_states, timestep, condition)
        text = text_stream(self, caption_ids, caption_embeds, caption_timestep, condition)
        cache = []
        last = len(self.blocks) - 1
        for index, block in enumerate(self.typed_blocks):
            video = replace(video, context=condition.contexts[index])
            text = replace(text, context=condition.contexts[index])
            # once more than the block itself does: two products of its twelve, in a rare pass
            cache.append(ClipKeys.with_room(*block.keys(video), self.config.caption_length))
            if index == last:
                text = block.text_end(video, text, None)
            else:
                video, text = block(video, text, None, None)
        return tuple(cache), text_head(self, text)

    def denoise_text(
        self,
        clips: Sequence[VideoCache],
        conditions: Sequence[Condition],
        caption_ids: Tensor | None,
        caption_timestep: Tensor,
        *,
        caption_embeds: Tensor | None = None,
    ) -> Tensor:
        """Return caption logits (B, L, V) from text tokens and cached clips alone.

        Equals the logits of `forward(..., isolate_video=True)` on the cached clips.

        Args:
            clips: caches whose batch sizes add up to B.
            conditions: one for each clip; all constant or none.
            caption_ids: see `forward`.
            caption_timestep: see `forward`.
            caption_embeds: see `forward`.
        """
        if self.text_regions.are_graphs:
            torch.compiler.cudagraph_mark_step_begin()
        condition = Condition.joined(conditions)
        text = text_stream(self, caption_ids, caption_embeds, caption_timestep, condition)
        for index, block in enumerate(self.typed_blocks):
            text = replace(text, context=condition.contexts[index])
            text = block.text_only(text, [clip[index] for clip in clips], self.text_regions)
        return text_head(self, text)
