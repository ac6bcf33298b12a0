"""What cross-attention makes of a condition once, for all steps of a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Constant:
    """Cross-attention to a condition whose rows are all equal: the same for every query."""

    output: Tensor  # [1, 1, d]


#: what a block cross-attends to: states [B, c, d], or keys and values made of them before, one pair
#: for each part of the batch
Context = Tensor | Constant | tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True)
class Condition:
    """A condition as every block reads it."""

    contexts: tuple[Context, ...]  # one per block
    dtype: torch.dtype

    @property
    def is_constant(self) -> bool:
        """Whether every query gets the same answer."""
        return isinstance(self.contexts[0], Constant)

    def where(self, rows: Tensor, other: Condition) -> Condition:
        """Return a condition of states that are these in the rows (B,) that say so, else others."""
        (mine, *_), (theirs, *_) = self.contexts, other.contexts
        assert isinstance(mine, Tensor)
        assert isinstance(theirs, Tensor)
        chosen = torch.where(rows[:, None, None], mine, theirs)
        return Condition((chosen,) * len(self.contexts), self.dtype)

    @classmethod
    def joined(cls, parts: Sequence[Condition]) -> Condition:
        """Return the condition of a batch made of these parts, all constant or none."""
        first = parts[0]
        if len(parts) == 1 or first.is_constant:
            assert all(part.is_constant for part in parts) or len(parts) == 1
            return first
        blocks = zip(*(part.contexts for part in parts), strict=True)
        contexts = tuple(tuple(pair for context in block for pair in context) for block in blocks)
        return cls(contexts, first.dtype)
