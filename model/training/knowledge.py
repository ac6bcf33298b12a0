"""What is known of a world beyond its clips, which makes a batch a better one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.training.data import Batch, Sample
from model.training.rollouts import Rollouts

#: given a batch and its samples, returns it with better targets
Sharpen = Callable[[Batch, Sequence[Sample]], Batch]


def as_drawn(batch: Batch, samples: Sequence[Sample]) -> Batch:
    """Leave targets as they were drawn."""
    return batch


@dataclass(frozen=True)
class Knowledge:
    """What to make of batches; see `NOTHING_KNOWN`."""

    sharpen: Sharpen = as_drawn
    rollouts: Rollouts | None = None

    def restart(self, step: int) -> None:
        """Forget what the network was making, as a resumed run has."""
        if self.rollouts is not None:
            self.rollouts.restart(step)

    def weighed(self, whole: Batch, *, short: bool) -> Batch:
        """Return a whole batch with the weights that its rows will have in `into`."""
        if self.rollouts is None or short:
            return whole
        return self.rollouts.weighed(whole)

    def into(self, batch: Batch, samples: Sequence[Sample], rows: slice, *, short: bool) -> Batch:
        """Return a better batch.

        Args:
            batch: this process's rows of a batch.
            samples: theirs.
            rows: which of the whole batch they are.
            short: whether it shows only the start of its clips.
        """
        sharp = self.sharpen(batch, samples)
        if self.rollouts is None or short:
            return sharp
        return self.rollouts.into(sharp, rows)


NOTHING_KNOWN = Knowledge()
