"""What a clip with its caption costs: both made along, or a video first and a captioner then."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ablations.kept import Figures
from benchmarks.live_memory import LiveMemory
from model.evaluation.checker import Frames
from model.pipeline import UniViGUPipeline
from model.sampler import Mode
from model.training.trainable import is_text_part

#: parts of the work; two models take "video alone" and a captioner, one takes "joint"
PARTS = ("joint", "video alone", "decoding", "captioner, 1 step", "captioner, 16 steps")
_PROMPT = "a red circle moving left"


def measure_costs(pipeline: UniViGUPipeline) -> dict[str, Figures]:
    """Return, for each of `PARTS`, its operations, the CPU's time and its memory.

    Memory is the most bytes of tensors alive at once beside the weights; weights are those that a
    model of this part alone would hold, text encoder apart.
    """
    size = dict(zip(("height", "width"), pipeline.config.serving["sizes"][0], strict=True))
    clip = pipeline.generate(_PROMPT, seed=0, mode=Mode.VIDEO_ONLY, num_inference_steps=1).frames
    names = ("num_frames", "num_inference_steps", "guidance_scale")
    options = size | {name: pipeline.config.serving[name] for name in names}

    def make(mode: str) -> torch.Tensor:
        *_, last = pipeline.generate_steps(_PROMPT, mode=mode, seed=0, **options)
        assert last.latents is not None
        return last.latents

    latents = make(Mode.VIDEO_ONLY)
    work: list[Callable[[], object]] = [
        lambda: make(Mode.JOINT),
        lambda: make(Mode.VIDEO_ONLY),
        lambda: list(pipeline.decode_latents(latents)),
        lambda: _caption(pipeline, clip, 1),
        lambda: _caption(pipeline, clip, 16),
    ]
    weights = _weights(pipeline)
    return {
        name: _measure(function) | {"weights MB": weights[name]}
        for name, function in zip(PARTS, work, strict=True)
    }


def _caption(pipeline: UniViGUPipeline, clip: Frames, steps: int) -> str:
    return pipeline.understand(clip, seed=0, num_inference_steps=steps)


def _measure(function: Callable[[], object]) -> Figures:
    function()  # once to warm up
    started = time.process_time()  # the latency of one thread on an idle core, on a busy one too
    function()
    seconds = time.process_time() - started
    # the fused attention of CPUs counts as no operation, so spell it
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    with LiveMemory() as memory:
        function()
    flops = counter.get_total_flops() / 1e9
    return {"GFLOP": flops, "CPU seconds": seconds, "peak MB": memory.peak / 1e6}


def _weights(pipeline: UniViGUPipeline) -> dict[str, float]:
    parameters = dict(pipeline.transformer.named_parameters())
    sizes = {name: parameter.nbytes / 1e6 for name, parameter in parameters.items()}
    whole = sum(sizes.values())
    vae = sum(parameter.nbytes / 1e6 for parameter in pipeline.vae.parameters())
    alone = sum(size for name, size in sizes.items() if not is_text_part(name))
    by_part = dict.fromkeys(PARTS, whole)
    return by_part | {"video alone": alone, "decoding": vae}
