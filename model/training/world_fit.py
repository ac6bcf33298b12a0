"""The Moving Shapes scene that noisy latents come nearest to, its path fitted and not only picked.

Shapes: N scenes, C channels, F latent frames, h x w latent positions.

Source: the Gauss-Newton method, on the two numbers that a path has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.training.moving_shapes import Scene, coverages, free_numbers, with_numbers
from model.training.patch_code import PatchCode
from model.training.world_outlines import tints
from model.training.world_words import place_of

#: of the frame side, half a pixel: how far a slope looks
_NUDGE = 0.008
#: of the frame side: how far a step may go
_FARTHEST = 0.04
_NUM_STEPS = 3
_RIDGE = 1e-3


@dataclass(frozen=True)
class Fit:
    """Scenes fitted to noisy latents, one each."""

    scenes: list[Scene]
    codes: Tensor  # [N, C, F, h, w]
    distances: Tensor  # [N], squared, of the noisy latents from where the codes would put them


def fit(
    code: PatchCode, ground: Tensor, scenes: Sequence[Scene], noisy: Tensor, sigma: float
) -> Fit:
    """Fit the paths of scenes to noisy latents (N, C, F, h, w)."""
    now = list(scenes)
    for _ in range(_NUM_STEPS):
        numbers = torch.tensor([free_numbers(scene) for scene in now])
        tried = [_at(now, numbers + nudge * _NUDGE) for nudge in torch.eye(2)]
        here, *others = codes_of(code, ground, [*now, *tried[0], *tried[1]]).flatten(1).chunk(3)
        slopes = torch.stack([(there - here) / _NUDGE for there in others], 2) * (1 - sigma)
        missed = noisy.flatten(1) - (1 - sigma) * here
        square = slopes.mT @ slopes + _RIDGE * torch.eye(2)
        move = torch.linalg.solve(square, slopes.mT @ missed[..., None])[..., 0]
        now = _at(now, numbers + move.clamp(-_FARTHEST, _FARTHEST), inside=True)
    codes = codes_of(code, ground, now)
    return Fit(now, codes, (noisy - (1 - sigma) * codes).flatten(1).square().sum(1))


def codes_of(code: PatchCode, ground: Tensor, scenes: Sequence[Scene]) -> Tensor:
    """Return the linear codes (N, C, F, h, w) of scenes."""
    outlines = code.outline(coverages(scenes))
    *_, color, background = torch.tensor([place_of(scene) for scene in scenes]).T
    tinted = torch.einsum("na,nacfhw->ncfhw", tints()[color, background], outlines)
    n, c, _, h, w = tinted.shape
    return tinted + ground[background].view(n, c, 1, h, w)


def _at(scenes: Sequence[Scene], numbers: Tensor, *, inside: bool = False) -> list[Scene]:
    pairs = zip(scenes, numbers.tolist(), strict=True)
    return [with_numbers(scene, a, b, inside=inside) for scene, (a, b) in pairs]
