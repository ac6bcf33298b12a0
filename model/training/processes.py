"""The processes of a run: one, or as many as `torchrun` or accelerate's launcher has started.

Each draws the whole batch and computes its own rows of it, so that the loss does not depend on
their number; the first one alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, distributed
from torch.distributed.fsdp import fully_shard
from torch.export import register_dataclass
from torch.nn.parallel import DistributedDataParallel

from model.blocks import Stream
from model.transformer import UniViGUTransformer

#: how long one process waits while others code their clips
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Processes:
    """This process among those of its run."""

    index: int
    count: int
    device: torch.device
    #: for words between the processes, whatever their devices; None where there is one process
    group: distributed.ProcessGroup | None = None

    @classmethod
    def started(cls) -> Processes:
        """Join the processes of the launcher that started this one; without one, be alone.

        Raises:
            ValueError: if a launcher left this process alone where there should be more of it.
        """
        state = PartialState(cpu=not torch.accelerator.is_available())
        group = None
        if state.num_processes == 1 and _should_have_company():
            raise ValueError(
                "MASTER_ADDR is set, but this process was not told its number (LOCAL_RANK) and "
                "would train alone: start it by torchrun or accelerate launch --multi_gpu, which "
                "serve for CPUs, too, or unset MASTER_ADDR"
            )
        if state.num_processes > 1:
            group = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        return cls(state.process_index, state.num_processes, state.device, group)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.index == 0

    def rows(self, batch_size: int) -> slice:
        """Return the rows of a batch that are this process's.

        Raises:
            ValueError: if they cannot be shared out evenly.
        """
        share, left = divmod(batch_size, self.count)
        if left:
            raise ValueError(
                f"batch_size {batch_size}: must be a multiple of the {self.count} processes"
            )
        return slice(self.index * share, (self.index + 1) * share)

    def place(
        self, transformer: UniViGUTransformer, parallel: str, *, has_unused: bool
    ) -> Callable[..., Any]:
        """Move a network to the device, spread over the processes, and return what to call.

        Args:
            transformer: changed in place; under `fsdp2` each process keeps a share of every weight.
            parallel: `ddp` or `fsdp2`.
            has_unused: whether some batches leave weights without gradient.

        Raises:
            ValueError: if the network cannot be sharded.
        """
        if self.count == 1:
            return transformer.to(self.device)
        if parallel == "ddp":
            transformer.to(self.device)
            devices = None if self.device.type == "cpu" else [self.device]
            return DistributedDataParallel(
                transformer,
                device_ids=devices,
                forward_sync_buffers=False,
                gradient_as_bucket_view=True,
                find_unused_parameters=has_unused,
            )
        if transformer.config.text_flow == "embedding":  # which reads its table beside the network
            raise ValueError("parallel 'fsdp2': cannot be had with text_flow 'embedding'")
        _let_sharding_look_into_streams()
        # this moves block by block: the whole network need not fit on one device
        for block in transformer.blocks:
            fully_shard(block)
        fully_shard(transformer)
        return transformer

    def sums(self, parts: dict[str, Tensor]) -> dict[str, float]:
        """Return each loss summed over the processes."""
        values = torch.stack([loss.detach() for loss in parts.values()])
        if self.count > 1:
            distributed.all_reduce(values)
        return dict(zip(parts, values.tolist(), strict=True))

    def collect(self, mine: list[Any]) -> list[list[Any]]:
        """Return every process's list, in their order."""
        if self.count == 1:
            return [mine]
        lists: list[Any] = [None] * self.count
        with self.in_touch():
            distributed.all_gather_object(lists, mine, self.group)
        return lists

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process through, and the others once it is done."""
        if not self.is_first:
            self._meet()
        yield
        if self.is_first:
            self._meet()

    @contextmanager
    def in_touch(self) -> Iterator[None]:
        """Tell the loss of another process from an error of this one.

        Raises:
            ConnectionError: if another process is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not _is_loss(error):
                raise
            raise ConnectionError(
                f"process {self.index} of {self.count} has lost another one: "
                f"{str(error).partition('. ')[0]}; start all again to go on from the last save"
            ) from error

    def _meet(self) -> None:
        if self.count > 1:
            with self.in_touch():
                distributed.barrier(self.group)


def _should_have_company() -> bool:
    # accelerate's launcher for CPUs, and clusters that set the address alone
    return "MASTER_ADDR" in os.environ and os.environ.get("WORLD_SIZE") != "1"


def _is_loss(error: RuntimeError) -> bool:
    # no type of its own stands for it: the first two words are gloo's, the third NCCL's
    words = ("by peer", "Broken pipe", "remote process exit")
    return any(word in str(error) for word in words)


@cache
def _let_sharding_look_into_streams() -> None:
    # it hooks into the backward pass at the tensors that blocks return, inside dataclasses too
    register_dataclass(Stream)
