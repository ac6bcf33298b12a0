"""The model on a CUDA device; deselected by default, run with `pytest -m gpu tests/gpu`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model import UniViGUPipeline, UniViGUTransformer
from model.optimize import graphed_regions, optimize
from model.presets import PRESETS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def _load(checkpoint: Path, dtype: torch.dtype) -> UniViGUPipeline:
    pipeline = UniViGUPipeline.from_pretrained(checkpoint, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_the_device_makes_the_same_video_as_the_cpu_in_float32(tiny_checkpoint: Path) -> None:
    on_cpu = _load(tiny_checkpoint, torch.float32)
    on_device = _load(tiny_checkpoint, torch.float32).to("cuda")
    options = {"seed": 3, "num_inference_steps": 3}
    first = on_cpu.generate("a red circle", **options)
    second = on_device.generate("a red circle", **options)
    difference = np.abs(first.frames.astype(int) - second.frames.astype(int))
    assert difference.mean() < 1


def test_bfloat16_makes_and_reads_a_clip(tiny_checkpoint: Path) -> None:
    pipeline = _load(tiny_checkpoint, torch.bfloat16).to("cuda")
    made = pipeline.generate("a red circle", seed=0, num_inference_steps=3)
    again = pipeline.generate("a red circle", seed=0, num_inference_steps=3)
    assert np.array_equal(made.frames, again.frames)
    assert isinstance(pipeline.understand(made.frames, seed=0, num_inference_steps=3), str)


def test_the_full_size_model_takes_a_step_at_480p() -> None:
    with torch.device("cuda"):
        model = UniViGUTransformer(**PRESETS["wan2.1-1.3b"]).to(torch.bfloat16).eval()
        latents = torch.randn(1, 16, 21, 60, 104, dtype=torch.bfloat16)
        condition = torch.randn(1, 512, 4096, dtype=torch.bfloat16)
        ids = torch.randint(256_384, (1, 256))
        time = torch.tensor([999.0])
    with torch.inference_mode():
        velocity, logits = model(latents, time, condition, ids, time)
    assert velocity.shape == latents.shape
    assert logits.shape == (1, 256, 256_384)
    assert torch.isfinite(velocity).all()


def test_8_bits_stay_close_to_bfloat16(tiny_checkpoint: Path) -> None:
    exact, rounded = (_load(tiny_checkpoint, torch.bfloat16).to("cuda") for _ in range(2))
    optimize(rounded, fp8_linears=True)
    options = {"seed": 0, "num_inference_steps": 3}
    first, second = (one.generate("a red circle", **options) for one in (exact, rounded))
    difference = np.abs(first.frames.astype(int) - second.frames.astype(int))
    assert 0 < difference.mean() < 16


def test_captions_as_cuda_graphs_stay_close_to_plain_ones() -> None:
    config = PRESETS["wan2.1-1.3b"] | {"num_layers": 4, "understanding_attention": "isolated"}
    with torch.device("cuda"):
        model = UniViGUTransformer(**config).to(torch.bfloat16).eval()
        torch.nn.init.normal_(model.text_proj_out.weight, std=0.02)
        latents = torch.randn(1, 16, 3, 30, 52, dtype=torch.bfloat16)
        states = torch.randn(1, 512, 4096, dtype=torch.bfloat16)
        ids, time = torch.randint(256_384, (2, 256)), torch.tensor([900.0, 300.0])

    def logits() -> list[torch.Tensor]:
        clips = [model.cache_video(latents, torch.zeros(1, device="cuda"), states)] * 2
        conditions = [model.prepare_condition(states), model.prepare_null(states)]
        steps = [(1, conditions[:1]), (2, conditions[:1] * 2), (1, conditions[1:])] * 3
        return [
            model.denoise_text(clips[:count], parts, ids[:count], time[:count])
            for count, parts in steps
        ]

    with torch.inference_mode():
        plain = logits()
        model.text_regions = graphed_regions()
        for one, other in zip(plain, logits(), strict=True):
            assert (one - other).float().norm() < 0.02 * one.float().norm()
