"""Everything that a resumed run needs to go on exactly, in one file.

The file is the same whatever the number of processes, so a run can be taken up by another number;
shares of a sharded network are put together for it by all processes, and written by the first.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from model.training.optimizers import Optimizers
from model.training.training_run import TrainingRun
from model.transformer import UniViGUTransformer


@dataclass(frozen=True)
class TrainingState:
    """The parts of a run that change from step to step."""

    transformer: UniViGUTransformer
    optimizers: Optimizers
    average: dict[str, Tensor]
    generator: torch.Generator
    rng: random.Random

    @classmethod
    def first(cls, transformer: UniViGUTransformer, run: TrainingRun) -> TrainingState:
        """Return the state before the first step; only what is trained is averaged."""
        trained = {n: p for n, p in transformer.named_parameters() if p.requires_grad}
        return cls(
            transformer,
            Optimizers(transformer, run),
            {name: p.detach().clone() for name, p in trained.items()},
            torch.Generator().manual_seed(run.seed),
            random.Random(run.seed),
        )

    def save(self, out_dir: Path, step: int, *, write: bool) -> None:
        """Write atomically: a kill leaves the previous state or the new one.

        Args:
            out_dir: folder of the run.
            step: steps done.
            write: whether this process writes; all of them have to call this.
        """
        whole = {
            "step": step,
            "transformer": whole_tensors(self.transformer.state_dict(), keep=write),
            "optimizers": [_whole_optimizer(part, write) for part in self.optimizers.parts],
            "average": whole_tensors(self.average, keep=write),
            "generator": self.generator.get_state(),
            "rng": json.dumps(self.rng.getstate()),
        }
        if write:
            partial = out_dir / "state.partial"
            torch.save(whole, partial)
            partial.replace(out_dir / "state.pt")

    def load(self, out_dir: Path) -> int:
        """Restore the last save and return its step, 0 without one."""
        path = out_dir / "state.pt"
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        self.transformer.load_state_dict(_shares(state["transformer"], self.transformer))
        for part, saved in zip(self.optimizers.parts, state["optimizers"], strict=True):
            part.load_state_dict(_optimizer_shares(saved, part))
        for name, value in self.average.items():
            value.copy_(_share(state["average"][name], value))
        self.generator.set_state(state["generator"])
        version, words, gauss = json.loads(state["rng"])
        self.rng.setstate((version, tuple(words), gauss))
        return int(state["step"])


def whole_tensors(tensors: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    """Return values with every sharded tensor put together on the CPU.

    All processes have to call this; those that keep nothing get nothing, which saves their memory.
    """
    whole = {}
    for name, value in tensors.items():
        full = value.full_tensor() if isinstance(value, DTensor) else value
        if keep:
            whole[name] = full.cpu() if isinstance(value, DTensor) else full
    return whole


def _whole_optimizer(part: torch.optim.Optimizer, keep: bool) -> dict[str, Any]:
    own = part.state_dict()
    state = {i: whole_tensors(values, keep=keep) for i, values in own["state"].items()}
    return own | {"state": state}


def _shares(saved: dict[str, Tensor], transformer: UniViGUTransformer) -> dict[str, Tensor]:
    own = transformer.state_dict()
    return {name: _share(value, own[name]) for name, value in saved.items()}


def _optimizer_shares(saved: dict[str, Any], part: torch.optim.Optimizer) -> dict[str, Any]:
    parameters = [p for group in part.param_groups for p in group["params"]]
    indices = [i for group in saved["param_groups"] for i in group["params"]]
    own = dict(zip(indices, parameters, strict=True))
    state = {
        i: {k: _share(v, own[i]) if v.shape == own[i].shape else v for k, v in values.items()}
        for i, values in saved["state"].items()
    }
    return saved | {"state": state}


def _share(saved: Tensor, like: Tensor) -> Tensor:
    if not isinstance(like, DTensor):
        return saved
    return distribute_tensor(saved.to(like.device), like.device_mesh, like.placements)
