"""Leaves the blocks out of a pass whose input has hardly changed: an approximation, off by default.

The idea is TeaCache's and First Block Cache's; the measure here is the whole change since the last
pass that was computed, so that it cannot creep, and no constant belongs to one checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.blocks import Stream, UniViGUBlock

#: video and caption; None for no caption
Streams = tuple[Stream, Stream | None]
#: takes the first block, the streams before it, and how to get them behind the last one; returns
#: the streams behind the last one
Reuse = Callable[[UniViGUBlock, Streams, Callable[[], Streams]], Streams]


@dataclass(frozen=True)
class _Pass:
    """What entered the blocks in a pass, and what they added, stream by stream."""

    inputs: list[Tensor]
    added: list[Tensor]

    def change(self, inputs: Sequence[Tensor]) -> float:
        """Return how far inputs are from these, in the stream that has moved most."""
        ratios = [
            (new - old).abs().mean(dtype=torch.float32) / old.abs().mean(dtype=torch.float32)
            for new, old in zip(inputs, self.inputs, strict=True)
        ]
        return float(torch.stack(ratios).max())


class FeatureCache:
    """What the blocks have added to the streams of one job, for its later steps.

    Args:
        threshold: a pass is computed if the modulated input of the first block has changed by this
            much since the last one that was: mean |new - old| / mean |old|, above 0. At 0.1 that
            is a tenth.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        #: passes of the network so far, and those of them that ran no block
        self.num_passes, self.num_reused = 0, 0
        self._last: dict[str, _Pass] = {}

    def through(
        self, branch: str, first: UniViGUBlock, streams: Streams, blocks: Callable[[], Streams]
    ) -> Streams:
        """Return the streams behind the blocks, of a branch of guidance; see `Reuse`."""
        present = [stream for stream in streams if stream is not None]
        inputs = [first.normed(stream) for stream in present]
        last = self._last.get(branch)
        self.num_passes += 1
        if last is not None and last.change(inputs) < self.threshold:
            self.num_reused += 1
            video, *text = (
                replace(stream, hidden=stream.hidden + added)
                for stream, added in zip(present, last.added, strict=True)
            )
            return video, text[0] if text else None
        self._last.pop(branch, None)  # its memory serves this pass
        after = blocks()
        ends = [stream for stream in after if stream is not None]
        added = [end.hidden - start.hidden for end, start in zip(ends, present, strict=True)]
        self._last[branch] = _Pass(inputs, added)
        return after
