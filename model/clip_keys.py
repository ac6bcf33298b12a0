"""What captions read of a clip in one block.

Shapes: B batch, N_v video tokens, L caption tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClipKeys:
    """A clip's keys and values in one block, with room behind them for a caption's."""

    key: Tensor  # [B, N_v + L, heads, head_dim]
    value: Tensor
    num_tokens: int  # N_v

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.key.nbytes + self.value.nbytes

    @classmethod
    def with_room(cls, key: Tensor, value: Tensor, length: int) -> ClipKeys:
        """Keep keys and values (B, N_v, heads, head_dim), with room for captions of `length`."""
        batch, num_tokens, *head = key.shape
        room = key.new_zeros(batch, length, *head)
        return cls(torch.cat((key, room), 1), torch.cat((value, room), 1), num_tokens)

    def with_caption(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return all keys and values, after writing a caption's (B, L, heads, head_dim) in.

        The room is scratch: who asks next overwrites it.
        """
        end = self.num_tokens + key.shape[1]
        self.key[:, self.num_tokens : end] = key
        self.value[:, self.num_tokens : end] = value
        return self.key[:, :end], self.value[:, :end]
