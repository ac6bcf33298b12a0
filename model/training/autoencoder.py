"""Train a small `AutoencoderKLWan` from nothing, by regression onto a linear patch code.

End-to-end training of a tiny autoencoder is unstable on a CPU. Here the bottleneck is fixed first:
a principal-component code of every 4x8x8 block. The encoder regresses that code and the decoder
regresses the pixels from it, two easy problems; in the second half of the run the decoder reads
the encoder's own output. Only `univigu train vae` uses this.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.latents import decode_chunks
from model.training.moving_shapes import NUM_FRAMES, render, sample_scene

BLOCK = (4, 8, 8)  # frames, rows and columns that one latent position stands for
LATENT_CHANNELS = 16
#: principal components keep the square root of their spread, at most this, before normalisation
MAX_SPREAD = 2.0
CODE_NOISE = 0.05


@dataclass(frozen=True)
class AutoencoderRun:
    """One training run of the autoencoder; every field has its unit in its name or is a count."""

    out_dir: Path
    num_steps: int = 1400
    batch_size: int = 8
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    seed: int = 0
    #: autoencoder folder to go on from, with its code
    init_from: Path | None = None
    #: leave the encoder as it is, so that a transformer trained on its latents stays valid
    decoder_only: bool = False
    save_every: int = 100


@dataclass(frozen=True)
class PatchCode:
    """A linear code of video blocks: 16 scaled principal components per 4x8x8 block."""

    mean: Tensor  # [768]
    basis: Tensor  # [16, 768], rows scaled so that the code has unit mean square

    @classmethod
    def fit(cls, clips: Tensor, num_channels: int = LATENT_CHANNELS) -> PatchCode:
        """Fit the code to `clips` (N, 3, F, H, W) in [-1, 1]."""
        flat = _blocks(clips).flatten(0, 3)
        mean = flat.mean(0)
        _, _, components = torch.linalg.svd(flat - mean, full_matrices=False)
        components = components[:num_channels]
        spread = ((flat - mean) @ components.T).std(0)
        target = spread.sqrt().clamp(max=MAX_SPREAD)
        target = target / target.square().mean().sqrt()
        return cls(mean, components * (target / spread)[:, None])

    def save(self, path: Path) -> None:
        """Write the code as safetensors."""
        save_file({"mean": self.mean, "basis": self.basis.contiguous()}, path)

    @classmethod
    def load(cls, path: Path) -> PatchCode:
        """Read a code that `save` wrote."""
        return cls(**load_file(path))

    def encode(self, clips: Tensor) -> Tensor:
        """Return the code (N, 16, F', H/8, W/8) of clips (N, 3, 4F'-3, H, W) in [-1, 1]."""
        return ((_blocks(clips) - self.mean) @ self.basis.T).permute(0, 4, 1, 2, 3)


def _blocks(clips: Tensor) -> Tensor:
    """Cut clips into blocks; the first frame, coded alone by Wan, counts as four equal ones."""
    clips = torch.cat([clips[:, :, :1].expand(-1, -1, BLOCK[0] - 1, -1, -1), clips], dim=2)
    n, c, f, h, w = clips.shape
    t, p, q = BLOCK
    split = clips.reshape(n, c, f // t, t, h // p, p, w // q, q)
    return split.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)


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
    """Train an autoencoder and save it in diffusers layout at `run.out_dir`, with its code.

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
        code = PatchCode.load(run.init_from / "patch_code.safetensors")
    if run.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    code.save(out / "patch_code.safetensors")
    optimizer = torch.optim.AdamW(
        [p for p in vae.parameters() if p.requires_grad], lr=run.learning_rate, weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _warm_cosine(s, run))
    started = time.monotonic()
    with (out / "log.jsonl").open("a") as log:
        for step in range(run.num_steps):
            # the decoder learns from the code first, then from what the encoder makes of it
            share = 0.5 if run.decoder_only else float(2 * step > run.num_steps)
            losses = _step(vae, code, _draw_clips(rng, run, step), share)
            optimizer.zero_grad(set_to_none=True)
            (losses["encoder"] + losses["decoder"]).backward()
            torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            row: dict[str, float] = {"step": step, "seconds": time.monotonic() - started}
            row |= {name: loss.item() for name, loss in losses.items()}
            if (step + 1) % run.save_every == 0 or step + 1 == run.num_steps:
                row["psnr"] = reconstruction_psnr(vae, held_out)
                vae.save_pretrained(out)
            log.write(json.dumps(row) + "\n")
            log.flush()
            yield row


def _warm_cosine(step: int, run: AutoencoderRun) -> float:
    if step < run.warmup_steps:
        return (step + 1) / run.warmup_steps
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / run.num_steps))


def _draw_clips(rng: random.Random, run: AutoencoderRun, step: int) -> Tensor:
    """Render a batch: nine-frame windows at first, whole clips in the last quarter."""
    clips = render([sample_scene(rng) for _ in range(run.batch_size)])
    if 4 * step >= 3 * run.num_steps:
        return clips
    start = rng.randint(0, NUM_FRAMES - 9)
    return clips[:, :, start : start + 9]


def _step(
    vae: AutoencoderKLWan, code: PatchCode, clips: Tensor, encoder_share: float
) -> dict[str, Tensor]:
    """Return both losses; the decoder reads the encoder in `encoder_share` of the clips."""
    target = code.encode(clips)
    from_encoder = torch.rand(len(clips), 1, 1, 1, 1) < encoder_share
    with torch.autocast("cpu", torch.bfloat16):
        latents = vae.encode(clips).latent_dist.mean
        source = torch.where(from_encoder, latents.detach().float(), target)
        noisy = source + CODE_NOISE * torch.randn_like(target)
        # not `vae.decode`, whose clamp would stop the gradient of saturated pixels
        decoded = torch.cat(list(decode_chunks(vae, noisy)), dim=2)
    error = decoded.float() - clips
    return {
        "encoder": F.mse_loss(latents.float(), target),
        "decoder": 4 * error.square().mean() + 0.1 * error.abs().mean(),
    }


def _world(seed: int, count: int, held_out: bool = False) -> Tensor:
    rng = random.Random(seed)
    return render([sample_scene(rng, held_out) for _ in range(count)])
