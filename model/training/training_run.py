"""How long, how fast and on what a stage trains: the keys of its table in a config file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

_LEAST = {
    "num_steps": 1,
    "batch_size": 1,
    "learning_rate": 0,
    "warmup_steps": 1,
    "weight_decay": 0,
    "gradient_clip": 0,
    "save_every": 1,
    "lora_rank": 1,
}
OPTIMIZERS = ("muon", "adamw")
PARALLEL = ("ddp", "fsdp2")


@dataclass(frozen=True)
class TrainingRun:
    """One training run; units are in the names or are steps.

    Raises:
        ValueError: naming the field, if a value is not one of those allowed.
    """

    out_dir: Path
    num_steps: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    final_rate: float = 0.1
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_decay: float = 0.998
    seed: int = 0
    save_every: int = 100
    #: `muon` for the matrices inside the blocks with AdamW for the rest, or `adamw` for all
    optimizer: str = "muon"
    #: see `model.training.trainable`
    trainable: str = "everything"
    lora_rank: int = 16
    #: whether the checkpoint has the adapters merged in; they are also written on their own
    merge_lora: bool = True
    #: whether blocks are computed again in the backward pass instead of being remembered
    gradient_checkpointing: bool = False
    #: whether matrices are multiplied in bfloat16; weights are float32 in any case
    autocast: bool = True
    #: whether the network is compiled, which takes a minute and pays after some hundred steps
    compile: bool = False
    #: many processes: `ddp` has every weight in each, `fsdp2` a share of it
    parallel: str = "ddp"

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if (number := getattr(self, name)) < least:
                raise ValueError(f"{name} {number}: must be at least {least}")
        for name in ("final_rate", "ema_decay"):
            if not 0 <= (number := getattr(self, name)) <= 1:
                raise ValueError(f"{name} {number}: must be from 0 to 1")
        for name, allowed in (("optimizer", OPTIMIZERS), ("parallel", PARALLEL)):
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"{name} {value!r}: must be one of {', '.join(allowed)}")
        if self.parallel == "fsdp2" and self.optimizer == "muon":
            raise ValueError("optimizer 'muon': needs whole matrices; with parallel 'fsdp2', adamw")
        if self.parallel == "fsdp2" and self.compile:
            raise ValueError("compile true: cannot be had with parallel 'fsdp2'")

    def precision(self, device: torch.device) -> torch.autocast:
        """Return the context that the network runs in."""
        # blocks that are computed again cast their weights again: the first copies need not be kept
        keep = not self.gradient_checkpointing
        return torch.autocast(device.type, torch.bfloat16, self.autocast, cache_enabled=keep)
