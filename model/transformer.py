"""The Uni-ViGU transformer: Wan2.1 blocks over a video stream and a caption stream.

Both streams share every self- and cross-attention; each has its own feed-forward expert, time path
and head (paper section 3, "modality-driven MoE": routing is by modality, there is no router).
Sampling, flows and text encoding live elsewhere.

Shapes: B batch, N_v video tokens, L caption tokens, d width, C latent channels, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanTimeTextImageEmbedding
from torch import Tensor, nn

from model.attention import Rotary, mix, text_rotary, video_rotary
from model.blocks import ClipKeys, Stream, UniViGUBlock, modulate
from model.condition import Condition
from model.positions import VideoPositions

#: eps of the released text head's norm, PyTorch's default rather than Wan's
TEXT_HEAD_EPS = 1e-5

#: a clip's keys and values, block by block
VideoCache = tuple[ClipKeys, ...]
#: which of the two results a caller reads
Outputs = Literal["both", "velocity", "logits"]


class UniViGUTransformer(ModelMixin, ConfigMixin, PeftAdapterMixin, CacheMixin, AttentionMixin):
    """Predicts video velocity and caption logits in one pass.

    Every weight of a stock Wan2.1 transformer has the same name here; what the captions add is
    named `caption_*`, `text_*` or `ffn_text`.

    Args:
        patch_size: latent frames, rows and columns per video token.
        num_attention_heads: heads of every attention.
        attention_head_dim: width of a head; d is heads times this.
        in_channels: C of the latents.
        out_channels: C of the velocity.
        text_dim: width of the condition `encoder_hidden_states`.
        freq_dim: width of the sinusoidal time features.
        ffn_dim: hidden width of each expert.
        num_layers: number of blocks.
        cross_attn_norm: whether cross-attention has its own affine norm.
        eps: of all Wan norms.
        rope_max_seq_len: most tokens per video axis.
        rope_spacing: distance of neighbouring rows and columns of tokens, in positions.
        caption_vocab_size: V.
        caption_length: L the captions were trained at.
        condition_length: tokens of the condition; shorter prompts are padded with zeros.
        text_flow: how text was trained: `discrete_uniform`, `discrete_mask` (one extra source id,
            V) or `embedding`.
        null_condition: the absent condition: `zeros` or `empty_prompt`.
        understanding_attention: `bidirectional`, or `isolated` where understanding is run with
            `isolate_video`.
    """

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

    @register_to_config
    def __init__(  # noqa: PLR0913 - one argument per config entry, as diffusers requires
        self,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        in_channels: int = 16,
        out_channels: int = 16,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        cross_attn_norm: bool = True,
        eps: float = 1e-6,
        rope_max_seq_len: int = 1024,
        rope_spacing: float = 1.0,
        caption_vocab_size: int = 256_384,
        caption_length: int = 256,
        condition_length: int = 512,
        text_flow: str = "discrete_uniform",
        null_condition: str = "zeros",
        understanding_attention: str = "bidirectional",
    ) -> None:
        super().__init__()
        dim = num_attention_heads * attention_head_dim
        self.rope = VideoPositions(attention_head_dim, patch_size, rope_max_seq_len, rope_spacing)
        self.patch_embedding = nn.Conv3d(
            in_channels, dim, kernel_size=patch_size, stride=patch_size
        )
        self.condition_embedder = WanTimeTextImageEmbedding(
            dim=dim, time_freq_dim=freq_dim, time_proj_dim=dim * 6, text_embed_dim=text_dim
        )
        self.blocks = nn.ModuleList(
            UniViGUBlock(dim, ffn_dim, num_attention_heads, cross_attn_norm, eps)
            for _ in range(num_layers)
        )
        self.norm_out = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.proj_out = nn.Linear(dim, out_channels * math.prod(patch_size))
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

        num_ids = caption_vocab_size + (text_flow == "discrete_mask")
        self.caption_embedding = nn.Embedding(num_ids, dim)
        self.caption_time_embedder = TimestepEmbedding(freq_dim, dim)
        self.caption_time_proj = nn.Linear(dim, dim * 6)
        self.text_norm_out = nn.LayerNorm(dim, TEXT_HEAD_EPS, bias=False)
        self.text_proj_out = nn.Linear(dim, caption_vocab_size)
        self.text_scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)
        nn.init.zeros_(self.text_proj_out.weight)
        nn.init.zeros_(self.text_proj_out.bias)

        self.gradient_checkpointing = False
        #: (1, c, text_dim) states of the empty prompt; set by whoever owns the text encoder
        self.empty_prompt_embeds: Tensor | None = None

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
            video_condition = _choose(isolate_video, null, condition)
        video = self._video_stream(hidden_states, timestep, video_condition)
        text = None
        if caption_ids is not None or caption_embeds is not None:
            embeds = self._caption_embeds(caption_ids, caption_embeds, condition)
            text = self._text_stream(embeds, caption_timestep, condition)
        masks = _key_masks(video, text, caption_mask, isolate_video)
        last = len(self.blocks) - 1
        for index, block in enumerate(self._typed_blocks):
            video = replace(video, context=video_condition.contexts[index])
            if text is not None:
                text = replace(text, context=condition.contexts[index])
                if index == last and outputs != "both":
                    return self._one_output(block, video, text, masks, hidden_states.shape, outputs)
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                video, text = self._gradient_checkpointing_func(block, video, text, *masks)
            else:
                video, text = block(video, text, *masks)
        velocity = self._video_head(video, hidden_states.shape)
        return velocity, None if text is None else self._text_head(text)

    def branches(
        self, hidden_states: Tensor, timestep: Tensor, conditions: Sequence[Condition]
    ) -> list[Tensor]:
        """Return the velocity under each condition, without a caption stream.

        What comes before the first cross-attention knows no condition and is computed once.
        Arguments as for `forward`.
        """
        first, *rest = self._typed_blocks
        start = self._video_stream(hidden_states, timestep, conditions[0])
        mixed = mix(first.attn1, *first.project(start))
        velocities = []
        for condition in conditions:
            video = first.finish(replace(start, context=condition.contexts[0]), mixed, first.ffn)
            for block, context in zip(rest, condition.contexts[1:], strict=True):
                video, _ = block(replace(video, context=context), None, None, None)
            velocities.append(self._video_head(video, hidden_states.shape))
        return velocities

    def prepare_condition(self, encoder_hidden_states: Tensor) -> Condition:
        """Return the keys and values of a condition (B, c, text_dim) for any number of steps."""
        states = self.condition_embedder.text_embedder(encoder_hidden_states)
        contexts = tuple(block.prepare(states) for block in self._typed_blocks)
        return Condition(contexts, states.dtype)

    def prepare_null(self, like: Tensor) -> Condition:
        """Return the absent condition for the batch, length and dtype of `like`.

        Where it is zeros, its rows are all equal, and so is whatever attends to them.
        """
        if self.config.null_condition != "zeros":
            return self.prepare_condition(self.null_embeds(like).expand_as(like))
        row = self.condition_embedder.text_embedder(torch.zeros_like(like[:1, :1]))
        contexts = tuple(block.prepare_constant(row) for block in self._typed_blocks)
        return Condition(contexts, row.dtype)

    def cache_video(
        self, hidden_states: Tensor, timestep: Tensor, encoder_hidden_states: Tensor
    ) -> VideoCache:
        """Return every block's video keys and values with the video isolated.

        They depend on the clip and the weights alone, so that one pass serves every text step,
        instruction and seed. `encoder_hidden_states` gives batch, length and dtype only.
        """
        condition = self.prepare_null(encoder_hidden_states)
        video = self._video_stream(hidden_states, timestep, condition)
        cache = []
        for index, block in enumerate(self._typed_blocks):
            query, key, value = block.project(video)
            cache.append(ClipKeys.with_room(key, value, self.config.caption_length))
            if index + 1 < len(self.blocks):  # nothing reads the last block's video output
                video = replace(video, context=condition.contexts[index])
                video = block.finish(video, mix(block.attn1, query, key, value), block.ffn)
        return tuple(cache)

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
        condition = Condition.joined(conditions)
        embeds = self._caption_embeds(caption_ids, caption_embeds, condition)
        text = self._text_stream(embeds, caption_timestep, condition)
        for index, block in enumerate(self._typed_blocks):
            text = replace(text, context=condition.contexts[index])
            text = block.text_only(text, [clip[index] for clip in clips])
        return self._text_head(text)

    def null_embeds(self, like: Tensor) -> Tensor:
        """Return the null condition (1, c, text_dim) with the length and dtype of `like`.

        Raises:
            ValueError: if the null is the empty prompt and nobody has set its states.
        """
        if self.config.null_condition == "zeros":
            return torch.zeros_like(like[:1])
        if self.empty_prompt_embeds is None:
            raise ValueError("null_condition is empty_prompt: set empty_prompt_embeds first")
        return self.empty_prompt_embeds.to(like)

    @property
    def _typed_blocks(self) -> list[UniViGUBlock]:
        return [cast(UniViGUBlock, block) for block in self.blocks]

    def _condition(self, states: Tensor | Condition) -> Condition:
        if isinstance(states, Condition):
            return states
        embedded = self.condition_embedder.text_embedder(states)
        return Condition((embedded,) * len(self.blocks), embedded.dtype)

    def _one_output(
        self,
        block: UniViGUBlock,
        video: Stream,
        text: Stream,
        masks: tuple[Tensor | None, Tensor | None],
        shape: torch.Size,
        outputs: Outputs,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what the last block makes of one stream, leaving out the other."""
        if outputs == "velocity":
            return self._video_head(block.video_end(video, text, masks[0]), shape), None
        return None, self._text_head(block.text_end(video, text, masks[1]))

    def _video_stream(self, latents: Tensor, timestep: Tensor, condition: Condition) -> Stream:
        tokens = self.patch_embedding(latents).flatten(2).transpose(1, 2).contiguous()
        embedder = self.condition_embedder
        temb = self._time_embedding(embedder.time_embedder, timestep).to(condition.dtype)
        modulation = embedder.time_proj(embedder.act_fn(temb))
        rotary = video_rotary(*self.rope(latents))
        return _stream(tokens, condition, modulation, temb, rotary)

    def _text_stream(self, embeds: Tensor, timestep: Tensor | None, condition: Condition) -> Stream:
        assert timestep is not None, "a caption stream needs caption_timestep"
        temb = self._time_embedding(self.caption_time_embedder, timestep).to(condition.dtype)
        modulation = self.caption_time_proj(self.condition_embedder.act_fn(temb))
        head_dim = self.config.attention_head_dim
        rotary = text_rotary(embeds.shape[1], head_dim, embeds.device)
        return _stream(embeds, condition, modulation, temb, rotary)

    def _time_embedding(self, embedder: TimestepEmbedding, timestep: Tensor) -> Tensor:
        features = self.condition_embedder.timesteps_proj(timestep)  # sinusoids in float32
        embedding: Tensor = embedder(features.to(embedder.linear_1.weight.dtype))
        return embedding

    def _caption_embeds(
        self, ids: Tensor | None, embeds: Tensor | None, condition: Condition
    ) -> Tensor:
        states: Tensor = self.caption_embedding(ids) if embeds is None else embeds
        return states.to(condition.dtype)

    def _video_head(self, video: Stream, shape: torch.Size) -> Tensor:
        shift, scale = (self.scale_shift_table + video.temb[:, None]).chunk(2, dim=1)
        normed = modulate(self.norm_out(video.hidden.float()), shift, scale, video.hidden)
        patches = self.proj_out(normed)
        b, _, f, h, w = shape
        p_t, p_h, p_w = self.config.patch_size
        grid = patches.reshape(b, f // p_t, h // p_h, w // p_w, p_t, p_h, p_w, -1)
        return grid.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def _text_head(self, text: Stream) -> Tensor:
        shift, scale = (self.text_scale_shift_table + text.temb[:, None]).chunk(2, dim=1)
        normed = self.text_norm_out(text.hidden)
        logits: Tensor = self.text_proj_out((normed * (1 + scale) + shift).type_as(text.hidden))
        return logits


def _stream(
    hidden: Tensor, condition: Condition, modulation: Tensor, temb: Tensor, rotary: Rotary
) -> Stream:
    modulation = modulation.unflatten(1, (6, -1)).float()
    return Stream(hidden, condition.contexts[0], modulation, temb, rotary)


def _choose(where: Tensor, one: Condition, other: Condition) -> Condition:
    """Return a condition whose rows are those of `one` where it says so."""
    (first, *_), (second, *_) = one.contexts, other.contexts
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    chosen = torch.where(where[:, None, None], first, second)
    return Condition((chosen,) * len(one.contexts), one.dtype)


def _key_masks(
    video: Stream, text: Stream | None, caption_mask: Tensor | None, isolate: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Return the (B, N_v + L) key masks of video and of text queries, None where all is seen."""
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
