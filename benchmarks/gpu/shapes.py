"""What is measured: Wan2.1's networks and 81 frames at 480p, or a toy of the same build."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from model.presets import PRESETS


@dataclass(frozen=True)
class Shapes:
    """Sizes of everything; the defaults are the true ones."""

    #: transformer configurations by name
    networks: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "1.3b": PRESETS["wan2.1-1.3b"],
            "14b": PRESETS["wan2.1-14b"],
        }
    )
    #: what differs from diffusers' defaults, which are Wan2.1's
    vae: dict[str, Any] = field(default_factory=dict)
    #: UMT5-XXL, Wan2.1's text encoder
    text_encoder: dict[str, Any] = field(
        default_factory=lambda: {
            "vocab_size": 256_384,
            "d_model": 4096,
            "d_ff": 10_240,
            "num_layers": 24,
            "num_heads": 64,
        }
    )
    height: int = 480
    width: int = 832
    num_frames: int = 81
    caption_steps: int = 50
    #: rows and columns of the matrices whose product is the measure of the machine
    matmul_side: int = 8192
    compiler: str = "inductor"


_TOY_NETWORK: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "text_dim": 32,
    "freq_dim": 32,
    "ffn_dim": 96,
    "num_layers": 3,
    "caption_vocab_size": 66,
    "caption_length": 8,
    "condition_length": 16,
}
#: runs in seconds on a CPU; its figures mean nothing
TINY = Shapes(
    networks={"1.3b": _TOY_NETWORK, "14b": _TOY_NETWORK | {"num_layers": 4}},
    vae={"base_dim": 8, "num_res_blocks": 1},
    text_encoder={"vocab_size": 66, "d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2},
    height=32,
    width=48,
    num_frames=5,
    caption_steps=4,
    matmul_side=256,
    compiler="aot_eager",
)
