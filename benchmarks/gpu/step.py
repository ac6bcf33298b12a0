"""A video step: how much of the machine it uses, and against diffusers tuned the same way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

import torch
from torch import Tensor

from benchmarks.gpu.flops import video_step_flops
from benchmarks.gpu.house import House
from benchmarks.paired import Row, interleave
from benchmarks.small import wan_twin

_REPEATS, _PAIRS = 3, 3
#: of the machine's matrix product, reachable with its attention kernels
_SHARES = {"1.3b": 0.80, "14b": 0.86}
#: relative, in bfloat16, through all blocks
_TOLERANCE = 0.05


def names(size: str) -> tuple[str, str]:
    """Return the names of both rows."""
    return (
        f"{size} video step: share of the matrix product's rate",
        f"{size} video step: diffusers, compiled and fused / ours",
    )


@torch.inference_mode()
def run(size: str, house: House) -> Iterator[Row]:
    """Measure one forward, compiled, both sides with the same attention kernel."""
    share, against = names(size)
    pipeline = house.pipeline(size)
    transformer = pipeline.transformer
    latents = house.noise(pipeline).to(transformer.proj_out.weight.dtype)
    time = torch.tensor([700.0], device=house.device)
    states = house.condition(pipeline)
    prepared = transformer.prepare_condition(states)

    def ours() -> Tensor:
        velocity: Tensor = transformer(latents, time, prepared)[0]
        return velocity

    first = ours()
    seconds = median(house.seconds(ours) for _ in range(_REPEATS))
    patch = transformer.config.patch_size
    tokens = latents[0, 0].numel() // (patch[0] * patch[1] * patch[2])
    flops = video_step_flops(transformer.config, tokens)
    yield Row(
        share,
        flops / seconds / house.matmul_flops,
        _SHARES[size],
        "min",
        f"{seconds:.4g} s, {flops / 1e12:.4g} TFLOP, {tokens} tokens, "
        f"matrix product {house.matmul_flops / 1e12:.4g} TFLOP/s, {house.attention_backend}",
    )
    with house.new_weights():
        wan = wan_twin(transformer)
    wan.set_attention_backend(house.attention_backend)
    wan.fuse_qkv_projections()
    wan.compile_repeated_blocks(fullgraph=True, backend=house.shapes.compiler)

    def theirs() -> Tensor:
        velocity: Tensor = wan(latents, time, states, return_dict=False)[0]
        return velocity

    off = (theirs() - first).float().norm() / first.float().norm()
    assert off < _TOLERANCE, f"the velocities differ by {off:.3f} of their size"
    pairs = interleave(partial(house.seconds, theirs), partial(house.seconds, ours), _PAIRS)
    yield Row(against, pairs.ratio, 1.10, "min", pairs.describe("diffusers", "ours"))
