"""The caption's sampling step against the plain one: softmax in float64, then a draw everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from statistics import mean

import torch
from torch import Generator, Tensor

from benchmarks.paired import Row, timed
from benchmarks.small import seeded
from model.flow import jump_probability, text_step
from model.schedule import sigma_grid

VOCABULARY, CAPTION_LENGTH, STEPS = 256_000, 256, 50
#: the plain step works the same whatever the noise level, so one is timed per so many of ours
OURS_PER_PLAIN = 5


def plain_step(
    ids: Tensor, logits: Tensor, sigma: float, sigma_next: float, generator: Generator
) -> Tensor:
    """Draw a clean id for every token, then let those that jump take theirs.

    Arguments as `model.flow.text_step`.

    Source: Gat et al. 2024, Euler step of the mixture path, word for word.
    """
    moved = torch.rand(ids.shape, generator=generator) < jump_probability(sigma, sigma_next)
    posterior = logits.double().softmax(dim=-1)
    drawn = torch.multinomial(posterior.flatten(0, -2), 1, generator=generator).view_as(ids)
    return torch.where(moved, drawn, ids)


def grid(steps: int) -> list[tuple[float, float]]:
    """Return the noise level before and after every step."""
    levels = sigma_grid(steps, 1.0)
    return list(pairwise(levels))


def check_certain(steps: int) -> None:
    """Assert equal tokens in every step where the prediction leaves nothing to chance."""
    ids = torch.randint(64, (2, 16), generator=seeded(1))
    target = torch.randint(64, (2, 16), generator=seeded(2))
    logits = 1e4 * torch.nn.functional.one_hot(target, 64).float()
    ours = plain = ids
    for i, (sigma, sigma_next) in enumerate(grid(steps)):
        ours = text_step(ours, logits, sigma, sigma_next, seeded(i))
        plain = plain_step(plain, logits, sigma, sigma_next, seeded(i))
        assert torch.equal(ours, plain), f"step {i} moves other tokens"
    assert torch.equal(ours, target), "the caption is not the predicted one"


def check_distribution(draws: int = 40_000) -> None:
    """Assert equal frequencies where it does not, within five standard errors."""
    logits = torch.randn(1, 1, 8, generator=seeded(3)).expand(1, draws, 8)
    ids = torch.zeros(1, draws, dtype=torch.int64)
    ours, plain = (
        step(ids, logits, 0.8, 0.2, seeded(4)).flatten().bincount(minlength=8) / draws
        for step in (text_step, plain_step)
    )
    off = (ours - plain).abs().max().item()
    assert off < 5 * (0.5 / draws) ** 0.5, f"frequencies differ by {off:.4f}"


def sweep(steps: int, length: int, vocabulary: int) -> Iterator[tuple[list[float], float]]:
    """Yield the seconds of `OURS_PER_PLAIN` of our steps and of one plain step, through K steps."""
    logits = torch.randn(1, length, vocabulary, generator=seeded(5))
    ids = torch.randint(vocabulary, (1, length), generator=seeded(6))
    generator, levels = seeded(7), grid(steps)
    for start in range(0, steps, OURS_PER_PLAIN):
        batch = levels[start : start + OURS_PER_PLAIN]
        ours = [timed(partial(text_step, ids, logits, *at, generator))() for at in batch]
        yield ours, timed(partial(plain_step, ids, logits, *batch[0], generator))()


@torch.inference_mode()
def run() -> list[Row]:
    """Measure the mean step over a whole caption."""
    check_certain(STEPS)
    check_distribution()
    measured = list(sweep(STEPS, CAPTION_LENGTH, VOCABULARY))
    ours = mean(seconds for batch, _ in measured for seconds in batch)
    plain = mean(seconds for _, seconds in measured)
    return [
        Row(
            "caption sampler: plain float64 softmax / ours",
            plain / ours,
            limit=10,
            sense="min",
            detail=f"plain {1000 * plain:.0f} ms, ours {1000 * ours:.0f} ms, mean of {STEPS} steps",
        )
    ]
