"""The training loop: one stage, one process, resumable from its last save.

What a stage means is `stage`, what a loss is `objective`, what a batch is `data`; this module only
repeats them and keeps optimizer, average and random state so that a resumed run continues exactly.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from model.training.data import BatchMaker, Subject, draw_samples
from model.training.objective import losses
from model.training.optimizers import Optimizers, learning_rate
from model.training.stage import Stage
from model.training.training_run import TrainingRun
from model.transformer import UniViGUTransformer


def train(
    transformer: UniViGUTransformer,
    scenes: Sequence[Subject],
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
    `out_dir/ema.safetensors`. Frozen weights are neither stepped nor averaged.
    """
    run.out_dir.mkdir(parents=True, exist_ok=True)
    optimizers = Optimizers(transformer, run)
    average = {
        name: p.detach().clone() for name, p in transformer.named_parameters() if p.requires_grad
    }
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
