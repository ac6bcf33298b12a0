"""A video step of our network after `optimize` against diffusers' Wan network as it comes."""

from __future__ import annotations

from functools import partial

from benchmarks.paired import Row, interleave, timed
from benchmarks.small import new_transformer, wan_twin
from benchmarks.step import PAIRS, VIDEO_TOKENS, arguments, check, ours, theirs
from model.optimize import optimize
from model.training.assemble import moving_shapes_pipeline
from model.training.autoencoder import new_autoencoder


def run() -> list[Row]:
    """Measure one forward of each, compiled before."""
    transformer = new_transformer()
    wan = wan_twin(transformer)
    pipeline = moving_shapes_pipeline(transformer, new_autoencoder())
    optimize(pipeline, compiler="inductor", fuse_projections=True)
    inputs = arguments(transformer, VIDEO_TOKENS)
    check(ours(transformer, inputs), theirs(wan, inputs))
    one, other = partial(ours, transformer, inputs), partial(theirs, wan, inputs)
    pairs = interleave(timed(other), timed(one), PAIRS)
    return [
        Row(
            "video step: diffusers / ours, optimized",
            pairs.ratio,
            limit=1.05,
            sense="min",
            detail=pairs.describe("diffusers", "optimized"),
        )
    ]
