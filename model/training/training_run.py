"""How long, how fast and on what a stage trains: the keys of its table in a config file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OPTIMIZERS = ("muon", "adamw")


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

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            allowed = ", ".join(OPTIMIZERS)
            raise ValueError(f"optimizer {self.optimizer!r}: must be one of {allowed}")
