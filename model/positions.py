"""Where a video token stands, as rotary angles."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed


class VideoPositions(WanRotaryPosEmbed):
    """Wan's rotary embedding of frames, rows and columns, with a spacing in the picture.

    Args:
        attention_head_dim: width of a head.
        patch_size: latent frames, rows and columns per token.
        max_seq_len: most tokens per axis.
        spacing: distance of neighbouring rows and columns, in positions. Wan's is 1. The fastest
            angle turns once in 6.3 positions, so that at 1 a small grid, whose slow angles hardly
            differ, shows a network the same place twice.
    """

    def __init__(
        self,
        attention_head_dim: int,
        patch_size: tuple[int, int, int],
        max_seq_len: int,
        spacing: float = 1.0,
    ) -> None:
        super().__init__(attention_head_dim, patch_size, max_seq_len)
        if spacing == 1.0:
            return
        places = torch.arange(max_seq_len, dtype=torch.float64)
        axes = [(self.t_dim, 1.0), (self.h_dim, spacing), (self.w_dim, spacing)]
        tables = [
            get_1d_rotary_pos_embed(
                dim,
                places * step,
                use_real=True,
                repeat_interleave_real=True,
                freqs_dtype=torch.float64,
            )
            for dim, step in axes
        ]
        cosines, sines = zip(*tables, strict=True)
        self.freqs_cos = torch.cat(cosines, dim=1)
        self.freqs_sin = torch.cat(sines, dim=1)
