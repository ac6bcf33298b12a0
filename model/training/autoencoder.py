"""Train a small `AutoencoderKLWan` from nothing: from a linear code on, end to end.

End-to-end training of a tiny autoencoder from random weights is unstable. So the bottleneck is
fixed first: the encoder regresses a principal-component code of every block and the decoder the
pixels from it, two easy problems. From there both are trained together, and the code only keeps
the latents near it. Only `univigu train vae` uses this.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from torch import Tensor

from model.latents import decode_chunks
from model.training.moving_shapes import NUM_FRAMES, Scene, coverages, painted, render, sample_scene
from model.training.optimizers import KernelOptimizers
from model.training.patch_code import BLOCK, LATENT_CHANNELS, PatchCode

#: noise on what the decoder reads: what a generated latent is off by at the least
_LATENT_NOISE = 0.05
#: how strongly latents are held to the linear code: while it is learned, and afterwards
_CODE_WEIGHTS = (1.0, 0.1)
#: pixels around an object in which what is drawn is taken for its own
_MARGIN = 2
_WINDOW = 9  # frames
_GRADIENT_CLIP = 0.5
_EMA_DECAY = 0.995


@dataclass(frozen=True)
class AutoencoderRun:
    """One training run of the autoencoder; every field has its unit in its name or is a count.

    Raises:
        ValueError: if no steps are left to train end to end, or a decoder has no encoder.
    """

    out_dir: Path
    num_steps: int = 2600
    #: of these, the first, in which the linear code is learned
    code_steps: int = 1000
    batch_size: int = 8
    learning_rate: float = 1.2e-3
    warmup_steps: int = 50
    seed: int = 0
    #: autoencoder folder to go on from, end to end with `code_steps` 0
    init_from: Path | None = None
    #: whether the encoder, and so every latent, stays as it is
    decoder_only: bool = False
    #: weight of what an object's area is off by, frame by frame, once the code is learned
    area_weight: float = 0.0
    save_every: int = 100

    def __post_init__(self) -> None:
        if self.decoder_only and (self.code_steps or not self.init_from):
            raise ValueError("decoder_only true: needs init_from and code_steps 0")
        if self.code_steps >= self.num_steps:
            raise ValueError(
                f"code_steps {self.code_steps}: must be less than num_steps {self.num_steps}"
            )


def new_autoencoder() -> AutoencoderKLWan:
    """Return the demo autoencoder's architecture: 8x in space, 4x in time, 2.7 M parameters."""
    return AutoencoderKLWan(
        base_dim=32,
        decoder_base_dim=32,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=BLOCK[1],
        scale_factor_temporal=BLOCK[0],
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
    )


def reconstruction_psnr(vae: AutoencoderKLWan, clips: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of encode-decode on clips in [-1, 1]."""
    with torch.inference_mode():
        decoded = vae.decode(vae.encode(clips).latent_dist.mode()).sample
    return 10 * math.log10(4 / F.mse_loss(decoded.float(), clips).item())


def train_autoencoder(run: AutoencoderRun) -> Iterator[dict[str, float]]:
    """Train an autoencoder and save its averaged weights in diffusers layout at `run.out_dir`.

    Yields a row per step, which `log.jsonl` keeps too: step, seconds, both losses, and at every
    save the PSNR (dB) on unseen clips.
    """
    out = run.out_dir
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(run.seed)
    rng = random.Random(run.seed)
    code = PatchCode.fit(_world(1, 192))
    held_out = _world(2, 16, held_out=True)
    vae = new_autoencoder()
    if run.init_from:
        vae = AutoencoderKLWan.from_pretrained(run.init_from)
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(not run.decoder_only)
    average = deepcopy(vae).requires_grad_(False)
    optimizers = KernelOptimizers(vae, run.learning_rate)
    started = time.monotonic()
    with (out / "log.jsonl").open("a") as log:
        for step in range(run.num_steps):
            losses = _step(vae, code, _draw_clips(rng, run, step), run, step < run.code_steps)
            losses["total"].backward()
            torch.nn.utils.clip_grad_norm_(vae.parameters(), _GRADIENT_CLIP)
            optimizers.step(run.learning_rate * _warm_cosine(step, run))
            _average(average, vae, min(_EMA_DECAY, (1 + step) / (10 + step)))
            row: dict[str, float] = {"step": step, "seconds": time.monotonic() - started}
            row |= {name: loss.item() for name, loss in losses.items()}
            if (step + 1) % run.save_every == 0 or step + 1 == run.num_steps:
                row["psnr"] = reconstruction_psnr(average, held_out)
                average.save_pretrained(out)
            log.write(json.dumps(row) + "\n")
            log.flush()
            yield row


def _warm_cosine(step: int, run: AutoencoderRun) -> float:
    warm = min(1.0, (step + 1) / run.warmup_steps)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / run.num_steps)))


def _draw_clips(rng: random.Random, run: AutoencoderRun, step: int) -> tuple[Tensor, Tensor]:
    """Render a batch and its coverages: short windows at first, whole clips in the last fifth."""
    scenes: list[Scene] = []
    while len(scenes) < run.batch_size:
        scene = sample_scene(rng)
        if rng.random() < _kept(scene):
            scenes.append(scene)
    covered = coverages(scenes)
    clips = painted(scenes, covered)
    if 5 * step >= 4 * run.num_steps:
        return clips, covered
    start = rng.randint(0, NUM_FRAMES - _WINDOW)
    window = slice(start, start + _WINDOW)
    return clips[:, :, window], covered[:, window]


def _kept(scene: Scene) -> float:
    """Return what share of such scenes to learn from: all of those that are drawn worst."""
    share = 1.0
    if scene.size == "large":
        share *= 0.3
    if scene.shape in ("circle", "square"):
        share *= 0.5
    if scene.motion != "still":
        share *= 0.5
    return share


def _step(
    vae: AutoencoderKLWan,
    code: PatchCode,
    drawn: tuple[Tensor, Tensor],
    run: AutoencoderRun,
    learns_code: bool,
) -> dict[str, Tensor]:
    """Return the losses; the decoder reads the code while that is learned, then the encoder."""
    clips, covered = drawn
    target = code.encode(clips)
    with torch.autocast("cpu", torch.bfloat16):
        latents = vae.encode(clips).latent_dist.mean.float()
        source = target if learns_code else latents
        noisy = source + _LATENT_NOISE * torch.randn_like(source)
        # not `vae.decode`, whose clamp would stop the gradient of saturated pixels
        decoded = torch.cat(list(decode_chunks(vae, noisy)), dim=2).float()
    error = decoded - clips
    losses = {
        "code": F.mse_loss(latents, target),
        # an error that stays is seen less than one that comes and goes
        "pixels": 4 * error.square().mean()
        + 0.1 * error.abs().mean()
        + error.diff(dim=2).square().mean(),
        "area": _area_error(error, covered).square().mean(),
    }
    losses["total"] = losses["pixels"] + _CODE_WEIGHTS[not learns_code] * losses["code"]
    if not learns_code:
        losses["total"] = losses["total"] + run.area_weight * losses["area"]
    return losses


def _area_error(error: Tensor, covered: Tensor) -> Tensor:
    """Return by how much of its own area too much of each colour is drawn around an object.

    Args:
        error: (N, 3, F, H, W) of pixels in [-1, 1].
        covered: (N, F, H, W) in [0, 1], how much of a pixel the object covers.

    Returns:
        (N, 3, F).
    """
    near = F.max_pool2d(covered, 2 * _MARGIN + 1, 1, _MARGIN)
    return (error * near[:, None]).sum((3, 4)) / covered.sum((2, 3))[:, None]


@torch.no_grad()
def _average(average: AutoencoderKLWan, vae: AutoencoderKLWan, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(vae.parameters()), 1 - decay)


def _world(seed: int, count: int, held_out: bool = False) -> Tensor:
    rng = random.Random(seed)
    return render([sample_scene(rng, held_out) for _ in range(count)])
