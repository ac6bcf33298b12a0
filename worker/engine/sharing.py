"""Steps that several jobs can take in one call of the model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from time import perf_counter
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class SharedStep(Generic[Item, Result]):
    """A step that goes together with those of an equal group, or alone.

    Args:
        item: what is advanced.
        run: advances items together and returns a result for each.
        group: equal for steps that can go together; None for one that cannot.
    """

    def __init__(
        self,
        item: Item,
        run: Callable[[list[Item]], list[Result]],
        group: Hashable | None,
    ) -> None:
        self.item, self.run, self.group = item, run, group
        self._results: list[Result] = []
        #: how many took it together, and how long it took, once it has been taken
        self.batched, self.seconds = 0, 0.0

    def result(self) -> Result:
        """Return what became of the item, after taking the step alone if nobody has yet."""
        if not self._results:
            take_together([self])
        return self._results[0]

    def finish(self, result: Result, batched: int, seconds: float) -> None:
        """Note what the common call has given."""
        self._results, self.batched, self.seconds = [result], batched, seconds


def take_together(steps: Sequence[SharedStep[Item, Result]]) -> None:
    """Take steps of one group in one call."""
    started = perf_counter()
    results = steps[0].run([step.item for step in steps])
    seconds = perf_counter() - started
    for step, result in zip(steps, results, strict=True):
        step.finish(result, len(steps), seconds)
