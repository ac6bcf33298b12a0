"""A video step of our network against diffusers' Wan network on the same weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from benchmarks.paired import Row, interleave, timed
from benchmarks.small import new_condition, new_latents, new_transformer, wan_twin
from model.transformer import UniViGUTransformer

VIDEO_TOKENS, PAIRS = 1024, 31


def arguments(transformer: UniViGUTransformer, video_tokens: int) -> dict[str, Any]:
    """Return what both networks are called with."""
    return {
        "hidden_states": new_latents(transformer, video_tokens),
        "timestep": torch.tensor([700.0]),
        "encoder_hidden_states": new_condition(transformer),
    }


@torch.inference_mode()
def ours(transformer: UniViGUTransformer, inputs: dict[str, Any]) -> Tensor:
    """Return our velocity."""
    velocity: Tensor = transformer(**inputs)[0]
    return velocity


@torch.inference_mode()
def theirs(wan: WanTransformer3DModel, inputs: dict[str, Any]) -> Tensor:
    """Return diffusers' velocity."""
    velocity: Tensor = wan(**inputs, return_dict=False)[0]
    return velocity


def check(one: Tensor, other: Tensor) -> None:
    """Assert that two velocities are equal to rounding."""
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def against_diffusers(
    transformer: UniViGUTransformer, wan: WanTransformer3DModel, label: str, limit: float
) -> Row:
    """Return diffusers' time over ours for one forward of each, named `label`."""
    inputs = arguments(transformer, VIDEO_TOKENS)
    check(ours(transformer, inputs), theirs(wan, inputs))
    one, other = partial(ours, transformer, inputs), partial(theirs, wan, inputs)
    pairs = interleave(timed(other), timed(one), PAIRS)
    return Row(
        f"video step: diffusers / {label}",
        pairs.ratio,
        limit=limit,
        sense="min",
        detail=pairs.describe("diffusers", label),
    )


def run() -> list[Row]:
    """Measure one forward of each."""
    transformer = new_transformer()
    return [against_diffusers(transformer, wan_twin(transformer), "ours", limit=0.97)]
