"""What the Uni-ViGU transformer is made of: its weights, and the conditions that they prepare.

Every weight of a stock Wan2.1 transformer has the same name here; what the captions add is named
`caption_*`, `text_*` or `ffn_text`. What is computed with them is in `model.transformer`.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import FP32LayerNorm
from diffusers.models.transformers.transformer_wan import WanTimeTextImageEmbedding
from torch import Tensor, nn

from model.blocks import UniViGUBlock
from model.condition import Condition
from model.positions import VideoPositions

#: eps of the released text head's norm, PyTorch's default rather than Wan's
TEXT_HEAD_EPS = 1e-5


class UniViGULayers(ModelMixin, ConfigMixin):
    """The weights of the transformer.

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
        rope_angles: by which each pair of channels of a head turns from one row or column of tokens
            to the next, in radians; None for Wan's.
        caption_vocab_size: V.
        caption_length: L the captions were trained at.
        condition_length: tokens of the condition; shorter prompts are padded with zeros.
        text_flow: how text was trained: `discrete_uniform`, `discrete_mask` (one extra source id,
            V) or `embedding`.
        null_condition: the absent condition: `zeros` or `empty_prompt`.
        understanding_attention: `bidirectional`, or `isolated` where understanding is run with
            `isolate_video`.
    """

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
        rope_angles: list[float] | None = None,
        caption_vocab_size: int = 256_384,
        caption_length: int = 256,
        condition_length: int = 512,
        text_flow: str = "discrete_uniform",
        null_condition: str = "zeros",
        understanding_attention: str = "bidirectional",
    ) -> None:
        super().__init__()
        dim = num_attention_heads * attention_head_dim
        self.rope = VideoPositions(attention_head_dim, patch_size, rope_max_seq_len, rope_angles)
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

    def prepare_condition(self, encoder_hidden_states: Tensor) -> Condition:
        """Return the keys and values of a condition (B, c, text_dim) for any number of steps."""
        states = self.condition_embedder.text_embedder(encoder_hidden_states)
        contexts = tuple(block.prepare(states) for block in self.typed_blocks)
        return Condition(contexts, states.dtype)

    def prepare_null(self, like: Tensor) -> Condition:
        """Return the absent condition for the batch, length and dtype of `like`.

        Where it is zeros, its rows are all equal, and so is whatever attends to them.
        """
        if self.config.null_condition != "zeros":
            return self.prepare_condition(self.null_embeds(like).expand_as(like))
        row = self.condition_embedder.text_embedder(torch.zeros_like(like[:1, :1]))
        contexts = tuple(block.prepare_constant(row) for block in self.typed_blocks)
        return Condition(contexts, row.dtype)

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
    def typed_blocks(self) -> list[UniViGUBlock]:
        """The blocks as what they are."""
        return [cast(UniViGUBlock, block) for block in self.blocks]

    def _condition(self, states: Tensor | Condition) -> Condition:
        if isinstance(states, Condition):
            return states
        embedded = self.condition_embedder.text_embedder(states)
        return Condition((embedded,) * len(self.blocks), embedded.dtype)
