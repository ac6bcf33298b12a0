"""Where a video token stands, as rotary angles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed


class VideoPositions(WanRotaryPosEmbed):
    """Wan's rotary embedding of frames, rows and columns, with other angles in the picture.

    Args:
        attention_head_dim: width of a head.
        patch_size: latent frames, rows and columns per token.
        max_seq_len: most tokens per axis.
        angles: by which each pair of channels turns from one row or column to the next, in
            radians; None for Wan's, 10,000 ** (-k / pairs) of pair k. Where a picture has few
            tokens and a head few channels, most of Wan's hardly turn at all.

    Raises:
        ValueError: if there are not as many angles as pairs of channels for an axis.
    """

    def __init__(
        self,
        attention_head_dim: int,
        patch_size: tuple[int, int, int],
        max_seq_len: int,
        angles: Sequence[float] | None = None,
    ) -> None:
        super().__init__(attention_head_dim, patch_size, max_seq_len)
        if angles is None:
            return
        if 2 * len(angles) != self.h_dim:
            raise ValueError(f"rope_angles {angles}: must be {self.h_dim // 2} numbers")
        places = torch.arange(max_seq_len, dtype=torch.float64)
        turned = torch.outer(places, torch.tensor(angles, dtype=torch.float64))
        turned = turned.repeat_interleave(2, dim=1).repeat(1, 2)  # rows, then columns
        for table, wave in ((self.freqs_cos, turned.cos()), (self.freqs_sin, turned.sin())):
            table[:, self.t_dim :] = wave.to(table.dtype)
