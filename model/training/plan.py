"""What a stage needs before it is run: weights, memory per GPU, operations and hours.

Everything is counted on the network, loss and optimizers that train, without their values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from model.latents import latent_shape
from model.presets import PRESETS
from model.training.config import StageConfig
from model.training.measure import StepWork, measure_step, weightless
from model.training.moving_shapes import NUM_FRAMES, SIDE
from model.training.optimizers import Optimizers
from model.training.processes import Processes
from model.transformer import UniViGUTransformer


@dataclass(frozen=True)
class Hardware:
    """GPUs, and how well they are used."""

    world_size: int
    #: of one GPU, dense bfloat16 matrices
    peak_tflops: float
    #: share of the peak that a training step reaches
    share: float


@dataclass(frozen=True)
class Memory:
    """Gigabytes (1e9 bytes) on each GPU."""

    weights: float
    gradients: float
    optimizer: float
    average: float
    #: weights and gradients that are whole while they are computed with
    gathered: float
    activations: float

    @property
    def total(self) -> float:
        """The sum, to which kernels add their workspace."""
        parts = (self.weights, self.gradients, self.optimizer, self.average)
        return sum(parts) + self.gathered + self.activations


@dataclass(frozen=True)
class Plan:
    """What one stage takes on some hardware."""

    stage: str
    num_steps: int
    batch_size: int
    rows_per_gpu: int
    parameters: int
    trained_parameters: int
    video_tokens: int
    text_tokens: int
    #: by how weights are kept and whether blocks are computed again
    memory: dict[str, Memory]
    flops_per_step: float
    flops: float
    hours: float


def plan_stage(wanted: StageConfig, preset: str | None, hardware: Hardware) -> Plan:
    """Return what a stage takes.

    Args:
        wanted: the stage.
        preset: name of the network; None for that of the checkpoint in the config.
        hardware: what it would run on.

    Raises:
        ValueError: for an unknown preset, a clip that does not divide into tokens, or a batch that
            does not divide into GPUs.
        OSError: if there is no such checkpoint.
    """
    config, run = _network(wanted, preset), wanted.run
    grid = _latent_grid(wanted, config["patch_size"])
    rows = Processes(0, hardware.world_size, torch.device("meta")).rows(run.batch_size).stop
    latents = (rows, config["in_channels"], *grid)
    work = measure_step(config, wanted.stage, run, latents)
    transformer = weightless(config, run)
    step = work.checkpointed if run.gradient_checkpointing else work.plain
    per_step = step.flops * hardware.world_size
    speed = hardware.world_size * hardware.peak_tflops * 1e12 * hardware.share
    return Plan(
        stage=wanted.stage.name,
        num_steps=run.num_steps,
        batch_size=run.batch_size,
        rows_per_gpu=rows,
        parameters=_count(transformer.parameters()),
        trained_parameters=_count(p for p in transformer.parameters() if p.requires_grad),
        video_tokens=math.prod(grid) // math.prod(config["patch_size"]),
        text_tokens=config["caption_length"],
        memory=_memory(transformer, wanted, work, hardware.world_size),
        flops_per_step=per_step,
        flops=per_step * run.num_steps,
        hours=per_step * run.num_steps / speed / 3600,
    )


def _network(wanted: StageConfig, preset: str | None) -> dict[str, Any]:
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset {preset!r}: must be one of {', '.join(PRESETS)}")
    if preset is None and wanted.data is not None:
        path = wanted.data.checkpoint / "transformer" / "config.json"
        settings = json.loads(path.read_text())
    else:
        settings = PRESETS[preset or "demo"]
    with torch.device("meta"):
        config = UniViGUTransformer.from_config(settings).config
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _latent_grid(wanted: StageConfig, patch_size: tuple[int, int, int]) -> tuple[int, int, int]:
    data = wanted.data
    frames, height, width = (
        (NUM_FRAMES, SIDE, SIDE) if data is None else (data.num_frames, data.height, data.width)
    )
    with torch.device("meta"):
        vae = AutoencoderKLWan()
    return latent_shape(vae, patch_size, height, width, frames)


def _memory(
    transformer: UniViGUTransformer, wanted: StageConfig, work: StepWork, world_size: int
) -> dict[str, Memory]:
    trained = [p for p in transformer.parameters() if p.requires_grad]
    weights, gradients = _gigabytes(transformer.parameters()), _gigabytes(trained)
    states = _optimizer_gigabytes(Optimizers(transformer, wanted.run), trained)
    block = _gigabytes(transformer.blocks[0].parameters())
    around = weights - block * len(transformer.blocks)
    share = 1 / world_size
    alone = world_size == 1
    kinds = {
        "one GPU" if alone else "ddp": (1.0, 0.0),
        # what is around the blocks stays whole for a step, of blocks the present and the next one
        "fsdp2": (share, 2 * (around + block) + block),
    }
    if alone:
        del kinds["fsdp2"]
    return {
        f"{kind}, {how}": Memory(
            weights * part,
            gradients * part,
            states * part,
            gradients * part,
            gathered,
            activations.saved_bytes / 1e9,
        )
        for kind, (part, gathered) in kinds.items()
        for how, activations in (("all kept", work.plain), ("checkpointing", work.checkpointed))
    }


def _optimizer_gigabytes(optimizers: Optimizers, trained: Iterable[Tensor]) -> float:
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    for part in optimizers.parts:
        part.step()
    states = (state for part in optimizers.parts for state in part.state.values())
    return _gigabytes(v for state in states for v in state.values() if isinstance(v, Tensor))


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _gigabytes(tensors: Iterable[Tensor]) -> float:
    return sum(tensor.nbytes for tensor in tensors) / 1e9
