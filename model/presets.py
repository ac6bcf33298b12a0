"""Named transformer configurations, Wan2.1's two sizes and the demo's, and what Wan serves."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "wan2.1-1.3b": {
        "num_attention_heads": 12,
        "attention_head_dim": 128,
        "ffn_dim": 8960,
        "num_layers": 30,
    },
    "wan2.1-14b": {
        "num_attention_heads": 40,
        "attention_head_dim": 128,
        "ffn_dim": 13824,
        "num_layers": 40,
    },
    "demo": {
        "patch_size": (1, 1, 1),
        "num_attention_heads": 6,
        "attention_head_dim": 32,
        "ffn_dim": 768,
        "num_layers": 6,
        "freq_dim": 128,
        "text_dim": 128,
        "rope_max_seq_len": 64,
        "rope_angles": [0.5, 0.0792, 2.0, 1.0, 0.25],
        "caption_vocab_size": 66,
        "caption_length": 20,
        "condition_length": 24,
        "understanding_attention": "isolated",
    },
}

#: serving values of a converted Wan2.1 checkpoint: 480p as published, steps and guidance as in
#: the authors' README
WAN_480P: dict[str, Any] = {
    "sizes": [[480, 832], [832, 480]],
    "num_frames": 81,
    "max_num_frames": 81,
    "fps": 16,
    "num_inference_steps": 50,
    "max_num_inference_steps": 200,
    "understand_steps": 50,
    "guidance_scale": 5.0,
    "guidance_above": 0.0,
    "text_shift": 1.0,
    "draft_above": 0.0,
    "rereads_caption": False,
}
