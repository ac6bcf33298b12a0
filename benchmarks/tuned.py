"""A video step of our network after `optimize` against diffusers' Wan network as it comes."""

from __future__ import annotations

from benchmarks.paired import Row
from benchmarks.small import new_transformer, wan_twin
from benchmarks.step import against_diffusers
from model.optimize import optimize
from model.training.assemble import moving_shapes_pipeline
from model.training.autoencoder import new_autoencoder


def run() -> list[Row]:
    """Measure one forward of each, compiled before."""
    transformer = new_transformer()
    wan = wan_twin(transformer)
    pipeline = moving_shapes_pipeline(transformer, new_autoencoder())
    optimize(pipeline, compiler="inductor", fuse_projections=True)
    return [against_diffusers(transformer, wan, "ours, optimized", limit=1.05)]
