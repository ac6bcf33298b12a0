"""Sigma grids: the noise levels that a sampler visits, from 1 (noise) down to 0 (clean).

The paper writes tau = 1 - sigma; nothing else in this repository does.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

#: what the time embedders eat is this many times sigma, in float32
TIMESTEPS = 1000.0

Sigma = TypeVar("Sigma", float, Tensor)


def shift_sigma(sigma: Sigma, shift: float) -> Sigma:
    """Move noise levels in [0, 1] towards 1 for shift > 1, keeping both ends.

    Source: Wan2.1 scheduler, shift 3 at 480p.
    """
    return shift * sigma / (1 + (shift - 1) * sigma)


def sigma_grid(num_inference_steps: int, shift: float) -> list[float]:
    """Return `num_inference_steps + 1` decreasing levels, the first 1 and the last 0."""
    levels = [1 - i / num_inference_steps for i in range(num_inference_steps + 1)]
    return [shift_sigma(level, shift) for level in levels]


def draft_sigmas(video_sigmas: list[float], above: float, shift: float) -> list[float]:
    """Return the levels of a caption that is drawn while its video is above a noise level.

    Args:
        video_sigmas: N + 1 decreasing levels from 1 to 0.
        above: from 0, which draws to the end, to less than 1.
        shift: of the levels before the caption is finished.
    """
    num_steps = sum(level > above for level in video_sigmas)
    return sigma_grid(num_steps, shift) + [0.0] * (len(video_sigmas) - 1 - num_steps)
