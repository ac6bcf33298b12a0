"""How captions move from noise to words: two readings of the paper behind one interface.

As released, ids jump from random to clean; in the paper's prose, embeddings move along a straight
line like the video. What stands for a caption in between is its draft: ids (B, L) or embeddings
(B, L, d). The equations themselves are in `model.flow`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from model.flow import corrupt_embeds, embedding_step, source_ids, text_step
from model.transformer import UniViGUTransformer


class TextFlow(Protocol):
    """A way of captions from noise to words."""

    def noise(self, batch: int, generator: Generator) -> Tensor:
        """Return drafts at full noise, on the CPU."""

    def clean(self, ids: Tensor) -> Tensor:
        """Return the finished draft of caption ids (B, L)."""

    def step(
        self, draft: Tensor, logits: Tensor, sigma: float, sigma_next: float, generator: Generator
    ) -> Tensor:
        """Return the draft one step down the noise scale; see `text_step`, `embedding_step`."""

    def read(self, draft: Tensor) -> Tensor:
        """Return the ids (B, L) that a draft stands for; exact for a finished one."""


class DiscreteFlow:
    """Drafts are ids: `discrete_uniform` and `discrete_mask`.

    Args:
        vocab_size: V.
        length: L.
        text_flow: which of the two, for the ids at full noise.
    """

    def __init__(
        self, vocab_size: int = 0, length: int = 0, text_flow: str = "discrete_uniform"
    ) -> None:
        self._vocab_size, self._length, self._text_flow = vocab_size, length, text_flow

    def noise(self, batch: int, generator: Generator) -> Tensor:
        """See `TextFlow`."""
        return source_ids((batch, self._length), self._vocab_size, self._text_flow, generator)

    def clean(self, ids: Tensor) -> Tensor:
        """See `TextFlow`."""
        return ids

    def step(
        self, draft: Tensor, logits: Tensor, sigma: float, sigma_next: float, generator: Generator
    ) -> Tensor:
        """See `TextFlow`."""
        return text_step(draft, logits, sigma, sigma_next, generator)

    def read(self, draft: Tensor) -> Tensor:
        """See `TextFlow`."""
        return draft


class EmbeddingFlow:
    """Drafts are embeddings, each row of the table brought to the norm sqrt(d).

    An embedding trained by a velocity loss alone could shrink until nothing is left to predict;
    a fixed norm, with cross-entropy on the logits, leaves it only directions to choose.

    Args:
        table: (V, d) float, the caption embedding.
        length: L.
    """

    def __init__(self, table: Tensor, length: int) -> None:
        self._table, self._length = table, length

    def noise(self, batch: int, generator: Generator) -> Tensor:
        """See `TextFlow`."""
        return torch.randn(batch, self._length, self._table.shape[1], generator=generator)

    def clean(self, ids: Tensor) -> Tensor:
        """See `TextFlow`; differentiable in the table."""
        return _at_norm(F.embedding(ids, self._table))

    def corrupt(self, ids: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Return drafts of ids (B, L) at noise levels (B,): what training shows the network."""
        return corrupt_embeds(self.clean(ids), noise, sigma)

    def step(
        self, draft: Tensor, logits: Tensor, sigma: float, sigma_next: float, generator: Generator
    ) -> Tensor:
        """See `TextFlow`; nothing is left to chance here."""
        return embedding_step(draft, logits, self._rows, sigma, sigma_next)

    def read(self, draft: Tensor) -> Tensor:
        """See `TextFlow`; all rows have one norm, so that the nearest has the largest product."""
        return (draft @ self._rows.T).argmax(dim=-1)

    @cached_property
    def _rows(self) -> Tensor:
        return _at_norm(self._table)


def _at_norm(rows: Tensor) -> Tensor:
    return F.normalize(rows.float(), dim=-1) * rows.shape[-1] ** 0.5


def text_flow_of(transformer: UniViGUTransformer) -> TextFlow:
    """Return the flow that a network's captions were trained with."""
    config = transformer.config
    if config.text_flow == "embedding":
        return EmbeddingFlow(transformer.caption_embedding.weight, config.caption_length)
    return DiscreteFlow(config.caption_vocab_size, config.caption_length, config.text_flow)
