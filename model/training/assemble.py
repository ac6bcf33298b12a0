"""Put trained parts together into a checkpoint folder in diffusers layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler

from model.pipeline import UniViGUPipeline
from model.training.components import new_text_encoder, new_tokenizer
from model.training.moving_shapes import FPS, NUM_FRAMES, SIDE, vocabulary
from model.transformer import UniViGUTransformer

MOVING_SHAPES_SERVING: dict[str, Any] = {
    "sizes": [[SIDE, SIDE]],
    "num_frames": NUM_FRAMES,
    "max_num_frames": NUM_FRAMES,
    "fps": FPS,
    "num_inference_steps": 36,
    "max_num_inference_steps": 100,
    "understand_steps": 2,
    "guidance_scale": 10.0,
    "guidance_above": 0.75,
    "text_shift": 0.3,
    "draft_above": 0.98,
    "rereads_caption": True,
}


def moving_shapes_pipeline(
    transformer: UniViGUTransformer, vae: AutoencoderKLWan
) -> UniViGUPipeline:
    """Return the whole demo model around its two trained networks."""
    tokenizer = new_tokenizer(vocabulary())
    return UniViGUPipeline(
        transformer=transformer.eval(),
        vae=vae.eval(),
        text_encoder=new_text_encoder(len(tokenizer)),
        tokenizer=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=8.0),
        serving=MOVING_SHAPES_SERVING,
    )


def save_checkpoint(pipeline: UniViGUPipeline, out_dir: Path) -> None:
    """Write a checkpoint as bf16 safetensors, half the size of what was trained."""
    pipeline.to(torch.bfloat16)
    pipeline.save_pretrained(out_dir)
