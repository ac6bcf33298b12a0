"""`python -m benchmarks.approximations [THRESHOLD...]`: what a feature cache does to the demo.

Each threshold makes the same joint videos as without a cache and is told by its distance to them.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from statistics import mean

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from model import UniViGUPipeline
from model.feature_cache import FeatureCache
from model.parts import Frames
from worker.settings import shipped_checkpoint

THRESHOLDS = (0.06, 0.1, 0.2)
PROMPTS = (
    "a red circle moving left",
    "a blue square moving right",
    "a green triangle growing",
    "a cyan circle moving up",
)


@dataclass(frozen=True)
class Made:
    """A clip, its caption, CPU time of denoising, and the share of passes left out."""

    frames: Frames
    caption: str
    seconds: float
    reused: float


def make(pipeline: UniViGUPipeline, seed: int, threshold: float | None) -> Made:
    """Return the clip of a prompt, by the checkpoint's own settings."""
    serving = pipeline.config.serving
    features = None if threshold is None else FeatureCache(threshold)
    started = time.process_time()
    *_, last = pipeline.generate_steps(
        PROMPTS[seed],
        height=serving["sizes"][0][0],
        width=serving["sizes"][0][1],
        num_frames=serving["num_frames"],
        num_inference_steps=serving["num_inference_steps"],
        guidance_scale=serving["guidance_scale"],
        seed=seed,
        features=features,
    )
    seconds = time.process_time() - started
    assert last.latents is not None
    assert last.token_ids is not None
    frames = np.concatenate(list(pipeline.decode_latents(last.latents)))
    reused = 0.0 if features is None else features.num_reused / features.num_passes
    return Made(frames, pipeline.decode_caption(last.token_ids), seconds, reused)


def psnr(one: Frames, other: Frames) -> float:
    """Return the likeness of two clips in dB; infinite for equal ones."""
    error = float(np.square(one.astype(float) - other).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def main() -> None:
    """Print a row for each threshold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.approximations")
    parser.add_argument("thresholds", nargs="*", type=float, default=THRESHOLDS)
    thresholds = parser.parse_args().thresholds
    torch.set_num_threads(1)
    pipeline = UniViGUPipeline.from_pretrained(shipped_checkpoint())
    make(pipeline, 0, None)  # the first one of a process takes longer
    exact = [make(pipeline, seed, None) for seed in range(len(PROMPTS))]
    table = Table("threshold", "passes left out", "speed", "PSNR dB, worst", "same caption")
    for threshold in thresholds:
        near = [make(pipeline, seed, threshold) for seed in range(len(PROMPTS))]
        pairs = list(zip(near, exact, strict=True))
        table.add_row(
            f"{threshold:g}",
            f"{mean(one.reused for one in near):.0%}",
            f"{sum(one.seconds for one in exact) / sum(one.seconds for one in near):.2f}x",
            f"{min(psnr(one.frames, other.frames) for one, other in pairs):.1f}",
            f"{sum(one.caption == other.caption for one, other in pairs)} of {len(pairs)}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
