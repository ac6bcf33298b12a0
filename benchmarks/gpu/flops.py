"""How many operations a step has by its equations, a multiplication and an addition being two."""

from __future__ import annotations

import math
from typing import Any


def video_step_flops(config: Any, num_tokens: int) -> int:
    """Return the operations of one forward without caption, its condition prepared before.

    Args:
        config: of the transformer.
        num_tokens: N_v, video tokens.
    """
    d = config.num_attention_heads * config.attention_head_dim
    n, c, f = num_tokens, config.condition_length, config.ffn_dim
    self_attention = 8 * n * d**2 + 4 * n**2 * d
    cross_attention = 4 * n * d**2 + 4 * n * c * d
    block = self_attention + cross_attention + 4 * n * d * f
    patch = math.prod(config.patch_size)
    ends = 2 * n * d * patch * (config.in_channels + config.out_channels)
    time = 2 * d * (config.freq_dim + d + 6 * d)
    return int(config.num_layers * block + ends + time)
