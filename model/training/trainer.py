"""The training loop: one stage, one process, resumable from its last save.

What a stage means is `stage`, what a loss is `objective`, what a batch is `data`; this module only
repeats them and keeps optimizer, average and random state so that a resumed run continues exactly.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from model.training.data import BatchMaker, draw_samples
from model.training.moving_shapes import Scene
from model.training.objective import losses
from model.training.stage import Stage
from model.transformer import UniViGUTransformer


@dataclass(frozen=True)
class TrainingRun:
    """How long and how fast to train; units are in the names or are steps."""

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


class Optimizers:
    """Muon for the matrices inside the blocks, AdamW for everything else, one schedule."""

    def __init__(self, transformer: UniViGUTransformer, run: TrainingRun) -> None:
        matrices: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in transformer.named_parameters():
            inside = name.startswith("blocks.") and name.endswith("weight") and parameter.ndim == 2
            (matrices if inside else others).append(parameter)
        decay = run.weight_decay
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices,
                lr=run.learning_rate,
                weight_decay=decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(others, lr=run.learning_rate, weight_decay=decay, betas=(0.9, 0.95)),
        ]

    def step(self, rate: float) -> None:
        """Apply the gradients at a learning rate and clear them."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)


def learning_rate(step: int, run: TrainingRun) -> float:
    """Return the rate at a step: linear warm-up, then cosine down to `final_rate` of the peak."""
    warm = min(1.0, (step + 1) / run.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * step / run.num_steps))
    return run.learning_rate * warm * (run.final_rate + (1 - run.final_rate) * cosine)


def train(
    transformer: UniViGUTransformer,
    scenes: list[Scene],
    batches: BatchMaker,
    stage: Stage,
    run: TrainingRun,
    *,
    pad_id: int,
    forward: Callable[..., dict[str, Tensor]] = losses,
) -> Iterator[dict[str, float]]:
    """Train `transformer` in place, yielding a log row per step.

    Every `save_every` steps the state to resume from is written to `out_dir`, and a run that finds
    one goes on from there, bit for bit on a CPU; at the end the averaged weights are written to
    `out_dir/ema.safetensors`.
    """
    run.out_dir.mkdir(parents=True, exist_ok=True)
    optimizers = Optimizers(transformer, run)
    average = {name: p.detach().clone() for name, p in transformer.named_parameters()}
    generator = torch.Generator().manual_seed(run.seed)
    rng = random.Random(run.seed)
    state = _State(transformer, optimizers, average, generator, rng)
    start = state.load(run.out_dir)
    with (run.out_dir / "log.jsonl").open("a") as log:
        for step in range(start, run.num_steps):
            started = time.monotonic()
            samples = draw_samples(rng, scenes, stage, run.batch_size)
            batch = batches.make(samples, stage, generator)
            with torch.autocast("cpu", torch.bfloat16):
                parts = forward(transformer, batch, stage, pad_id)
            parts["total"].backward()
            torch.nn.utils.clip_grad_norm_(transformer.parameters(), run.gradient_clip)
            optimizers.step(learning_rate(step, run))
            decay = min(run.ema_decay, (1 + step) / (10 + step))
            _average(average, transformer, decay)
            row = {name: loss.item() for name, loss in parts.items()}
            row |= {"step": step, "seconds": time.monotonic() - started}
            log.write(json.dumps(row) + "\n")
            log.flush()
            if (step + 1) % run.save_every == 0 or step + 1 == run.num_steps:
                state.save(run.out_dir, step + 1)
            yield row
    save_file(average, run.out_dir / "ema.safetensors")


@torch.no_grad()
def _average(average: dict[str, Tensor], transformer: UniViGUTransformer, decay: float) -> None:
    names = list(average)
    parameters = dict(transformer.named_parameters())
    torch._foreach_lerp_([average[n] for n in names], [parameters[n] for n in names], 1 - decay)


@dataclass(frozen=True)
class _State:
    """Everything that a resumed run needs to continue bit for bit."""

    transformer: UniViGUTransformer
    optimizers: Optimizers
    average: dict[str, Tensor]
    generator: torch.Generator
    rng: random.Random

    def save(self, out_dir: Path, step: int) -> None:
        """Write atomically: a kill leaves the previous state or the new one."""
        partial = out_dir / "state.partial"
        torch.save(
            {
                "step": step,
                "transformer": self.transformer.state_dict(),
                "optimizers": [part.state_dict() for part in self.optimizers.parts],
                "average": self.average,
                "generator": self.generator.get_state(),
                "rng": json.dumps(self.rng.getstate()),
            },
            partial,
        )
        partial.replace(out_dir / "state.pt")

    def load(self, out_dir: Path) -> int:
        """Restore the last save and return its step, 0 without one."""
        path = out_dir / "state.pt"
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True)
        self.transformer.load_state_dict(state["transformer"])
        for part, saved in zip(self.optimizers.parts, state["optimizers"], strict=True):
            part.load_state_dict(saved)
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        self.generator.set_state(state["generator"])
        version, words, gauss = json.loads(state["rng"])
        self.rng.setstate((version, tuple(words), gauss))
        return int(state["step"])
