"""Randomness that belongs to a row of a batch, so that the batch cannot change it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from model.flow import corrupt_text
from model.text_flow import EmbeddingFlow, TextFlow


class RowwiseFlow:
    """A text flow in which every row draws from its own generator.

    Args:
        flow: how captions move.
        generators: one CPU generator per row.
    """

    def __init__(self, flow: TextFlow, generators: Sequence[Generator]) -> None:
        self._flow, self._generators = flow, generators

    def noise(self, batch: int, generator: Generator) -> Tensor:
        """See `TextFlow`."""
        return torch.cat([self._flow.noise(1, own) for own in self._generators])

    def clean(self, ids: Tensor) -> Tensor:
        """See `TextFlow`."""
        return self._flow.clean(ids)

    def step(
        self, draft: Tensor, logits: Tensor, sigma: float, sigma_next: float, generator: Generator
    ) -> Tensor:
        """See `TextFlow`."""
        rows = zip(draft.split(1), logits.split(1), self._generators, strict=True)
        return torch.cat(
            [self._flow.step(old, seen, sigma, sigma_next, own) for old, seen, own in rows]
        )

    def read(self, draft: Tensor) -> Tensor:
        """See `TextFlow`."""
        return self._flow.read(draft)


def generators_of(seeds: Sequence[int]) -> list[Generator]:
    """Return one CPU generator per seed."""
    return [Generator().manual_seed(seed) for seed in seeds]


def noisy_captions(flow: TextFlow, ids: Tensor, sigma: float, seeds: Sequence[int]) -> Tensor:
    """Return drafts of caption ids (B, L) at a noise level, each by its own seed."""
    generators = generators_of(seeds)
    noise = RowwiseFlow(flow, generators).noise(len(ids), generators[0]).to(ids.device)
    levels = torch.full((len(ids),), sigma, device=ids.device)
    if isinstance(flow, EmbeddingFlow):
        return flow.corrupt(ids, noise, levels)
    uniforms = torch.cat([torch.rand(1, ids.shape[1], generator=own) for own in generators])
    return corrupt_text(ids, noise, levels, uniforms.to(ids.device))
