"""A linear code of video blocks, which an autoencoder begins with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = (4, 8, 8)  # frames, rows and columns that one latent position stands for
LATENT_CHANNELS = 16
#: principal components keep the square root of their spread, at most this, before normalisation
MAX_SPREAD = 2.0
#: of a regression, as a share of the blocks: many of their directions hardly vary
_RIDGE = 1e-5


@dataclass(frozen=True)
class PatchCode:
    """A linear code of video blocks: 16 scaled principal components per 4x8x8 block."""

    mean: Tensor  # [768]
    basis: Tensor  # [16, 768], rows scaled so that the code has unit mean square

    @classmethod
    def fit(cls, clips: Tensor, num_channels: int = LATENT_CHANNELS) -> PatchCode:
        """Fit the code to `clips` (N, 3, F, H, W) in [-1, 1]."""
        flat = blocks(clips).flatten(0, 3)
        mean = flat.mean(0)
        _, _, components = torch.linalg.svd(flat - mean, full_matrices=False)
        components = components[:num_channels]
        spread = ((flat - mean) @ components.T).std(0)
        target = spread.sqrt().clamp(max=MAX_SPREAD)
        target = target / target.square().mean().sqrt()
        return cls(mean, components * (target / spread)[:, None])

    @classmethod
    def regress(cls, clips: Tensor, latents: Tensor) -> PatchCode:
        """Return the linear code that comes nearest to latents (N, C, F', H/8, W/8) of `clips`."""
        flat = blocks(clips).flatten(0, 3)
        wanted = latents.permute(0, 2, 3, 4, 1).flatten(0, 3)
        centre, level = flat.mean(0), wanted.mean(0)
        spread = (flat - centre).T @ (flat - centre)
        ridge = _RIDGE * len(flat) * torch.eye(len(spread))
        basis = torch.linalg.solve(spread + ridge, (flat - centre).T @ (wanted - level)).T
        return cls(centre - torch.linalg.pinv(basis) @ level, basis)

    def outline(self, coverages: Tensor) -> Tensor:
        """Return what each colour channel adds, (N, 3, C, F', H/8, W/8), where one covers more.

        Args:
            coverages: (N, F, H, W) in [0, 1]; a clip is its background's code plus this, times
                what its colour has more than the background.
        """
        parts = self.basis.unflatten(1, (3, -1))  # [C, 3, 256]
        return torch.einsum("nfhwk,cak->nacfhw", blocks(coverages[:, None]), parts)

    def plain(self, colors: Tensor) -> Tensor:
        """Return the code (n, C) of blocks of one colour (n, 3) in [-1, 1]."""
        size = self.basis.shape[1] // 3
        return (colors.repeat_interleave(size, 1) - self.mean) @ self.basis.T

    def encode(self, clips: Tensor) -> Tensor:
        """Return the code (N, 16, F', H/8, W/8) of clips (N, 3, 4F'-3, H, W) in [-1, 1]."""
        return ((blocks(clips) - self.mean) @ self.basis.T).permute(0, 4, 1, 2, 3)


def blocks(clips: Tensor) -> Tensor:
    """Cut clips (N, c, F, H, W) into blocks (N, F', H/8, W/8, 256 c).

    The first frame, coded alone by Wan, counts as four equal ones.
    """
    clips = torch.cat([clips[:, :, :1].expand(-1, -1, BLOCK[0] - 1, -1, -1), clips], dim=2)
    n, c, f, h, w = clips.shape
    t, p, q = BLOCK
    split = clips.reshape(n, c, f // t, t, h // p, p, w // q, q)
    return split.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)
