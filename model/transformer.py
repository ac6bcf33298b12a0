"""The Uni-ViGU transformer: Wan2.1 blocks over a video stream and a caption stream.

Both streams share every self- and cross-attention; each has its own feed-forward expert, time path
and head (paper section 3, "modality-driven MoE": routing is by modality, there is no router).
Sampling, flows and text encoding live elsewhere.

Shapes: B batch, N_v video tokens, L caption tokens, d width, C latent channels, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import zip_longest
from typing import ClassVar, Literal

import torch
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from model.attention import mix
from model.blocks import Stream
from model.cached_video import CachedVideo
from model.condition import Condition, Context
from model.feature_cache import Reuse, Streams
from model.streams import KeyMasks, key_masks, text_head, text_stream, video_head, video_stream

#: which of the two results a caller reads
Outputs = Literal["both", "velocity", "logits"]


# `ModelMixin` again: a pipeline finds out how to load this class by what its module names
class UniViGUTransformer(CachedVideo, ModelMixin, PeftAdapterMixin, CacheMixin, AttentionMixin):
    """Predicts video velocity and caption logits in one pass; `UniViGULayers` has the config."""

    _supports_gradient_checkpointing = True
    _skip_layerwise_casting_patterns: ClassVar[list[str]] = [
        "patch_embedding",
        "condition_embedder",
        "norm",
    ]
    _no_split_modules: ClassVar[list[str]] = ["UniViGUBlock"]
    _repeated_blocks: ClassVar[list[str]] = ["UniViGUBlock"]
    # Wan's list, and the caption stream's time path for the same reason: sinusoids need float32
    _keep_in_fp32_modules: ClassVar[list[str]] = [
        "rope",
        "time_embedder",
        "scale_shift_table",
        "norm1",
        "norm2",
        "norm3",
        "caption_time_embedder",
    ]

    def forward(  # noqa: PLR0913 - the arguments of Wan and a caption stream's
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor | Condition,
        caption_ids: Tensor | None = None,
        caption_timestep: Tensor | None = None,
        caption_mask: Tensor | None = None,
        *,
        caption_embeds: Tensor | None = None,
        isolate_video: Tensor | None = None,
        outputs: Outputs = "both",
        reuse: Reuse | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Predict the velocity of the video and the clean caption.

        Args:
            hidden_states: (B, C, F, H, W) noisy latents, normalised.
            timestep: (B,) float32, 1000 x video sigma.
            encoder_hidden_states: (B, c, text_dim) condition, zero-padded, or what
                `prepare_condition` has made of it.
            caption_ids: (B, L) int64 noisy caption ids; None for no caption stream.
            caption_timestep: (B,) float32, 1000 x text sigma.
            caption_mask: (B, L) bool, true where a caption key may be seen; None sees all.
            caption_embeds: (B, L, d) in place of `caption_ids` under `text_flow: embedding`.
            isolate_video: (B,) bool; where true, video queries see no text keys and the video
                stream cross-attends to the null condition. Takes no prepared condition.
            outputs: what the caller reads; the other one is None and costs nothing.
            reuse: may take the place of the blocks; None runs them.

        Returns:
            Velocity (B, C, F, H, W), noise minus clean, and logits (B, L, V) of the clean
            caption, None without a caption stream.

        Source: block equations of Wan2.1 with the streams of Uni-ViGU section 3.
        """
        condition = self._condition(encoder_hidden_states)
        video_condition = condition
        if isolate_video is not None:
            assert isinstance(encoder_hidden_states, Tensor)
            null = self._condition(self.null_embeds(encoder_hidden_states))
            video_condition = null.where(isolate_video, condition)
        video = video_stream(self, hidden_states, timestep, video_condition)
        text = None
        if caption_ids is not None or caption_embeds is not None:
            text = text_stream(self, caption_ids, caption_embeds, caption_timestep, condition)
        masks = key_masks(video, text, caption_mask, isolate_video)
        contexts = list(zip(video_condition.contexts, condition.contexts, strict=True))
        blocks = partial(self._through_blocks, video, text, contexts, masks, outputs)
        first = self.typed_blocks[0]
        video, text = blocks() if reuse is None else reuse(first, (video, text), blocks)
        velocity = None if outputs == "logits" else video_head(self, video, hidden_states.shape)
        logits = None if text is None or outputs == "velocity" else text_head(self, text)
        return velocity, logits

    def branches(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        conditions: Sequence[Condition],
        reuses: Sequence[Reuse | None] = (),
    ) -> list[Tensor]:
        """Return the velocity under each condition, without a caption stream.

        What comes before the first cross-attention knows no condition and is computed once.
        Arguments as for `forward`; `reuses` has one for each condition, or none.
        """
        (first, *rest), run = self.typed_blocks, self.video_regions
        start = video_stream(self, hidden_states, timestep, conditions[0])
        mixed = cache(lambda: mix(first.attn1, *run.project(first, start)))

        def through_blocks(condition: Condition) -> Streams:
            video = replace(start, context=condition.contexts[0])
            video = first.finish(video, mixed(), first.ffn, run)
            for block, context in zip(rest, condition.contexts[1:], strict=True):
                video, _ = block(replace(video, context=context), None, None, None)
            return video, None

        velocities = []
        for condition, reuse in zip_longest(conditions, reuses):
            blocks = partial(through_blocks, condition)
            video, _ = blocks() if reuse is None else reuse(first, (start, None), blocks)
            velocities.append(video_head(self, video, hidden_states.shape))
        return velocities

    def _through_blocks(
        self,
        video: Stream,
        text: Stream | None,
        contexts: Sequence[tuple[Context, Context]],
        masks: KeyMasks,
        outputs: Outputs,
    ) -> Streams:
        """Return both streams behind the last block; one that nobody reads stops before it."""
        last = len(self.blocks) - 1
        for index, block in enumerate(self.typed_blocks):
            video_context, text_context = contexts[index]
            video = replace(video, context=video_context)
            text = None if text is None else replace(text, context=text_context)
            if text is not None and index == last and outputs == "velocity":
                video = block.video_end(video, text, masks[0])
            elif text is not None and index == last and outputs == "logits":
                text = block.text_end(video, text, masks[1])
            elif torch.is_grad_enabled() and self.gradient_checkpointing:
                video, text = self._gradient_checkpointing_func(block, video, text, *masks)
            else:
                video, text = block(video, text, *masks)
        return video, text
