"""Train an arm, leg by leg; a leg that several arms share is trained once, and none twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablations.arms import SMALL, VIDEO, Arm, Leg
from benchmarks.ablations.kept import digest
from benchmarks.ablations.world import World
from model.convert import with_copies
from model.training.run import take_average
from model.training.trainer import train
from model.training.training_run import TrainingRun
from model.transformer import UniViGUTransformer


@dataclass(frozen=True)
class Course:
    """How all arms are trained.

    Args:
        folder: of the runs.
        world: what they see.
        config: of the transformer, where an arm does not say otherwise.
        start: the leg that makes the video model they start from.
        options: fields of `TrainingRun` besides steps, seed and folder.
    """

    folder: Path
    world: World
    config: dict[str, Any]
    start: Leg
    options: dict[str, Any]

    def definition(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Return all that decides what an arm becomes."""
        return {
            "config": self.config,
            "changes": arm.config,
            "copies_experts": arm.copies_experts,
            "legs": [leg.definition() for leg in (self.start, *arm.legs)],
            "run": self._run_definition(seed),
            "scenes": len(self.world.scenes),
        }

    def train(self, arm: Arm, seed: int) -> UniViGUTransformer:
        """Return the network at the end of an arm, going on where an earlier run was stopped."""
        video = self._new(self.config, seed)
        self._run(video, self.start, seed, [self.config, self.start.definition()])
        weights = video.state_dict()
        if arm.copies_experts:
            copied = with_copies({name: value.clone for name, value in weights.items()})
            weights |= {name: read() for name, read in copied.items()}
        transformer = self._new(self.config | dict(arm.config), seed)
        transformer.load_state_dict(weights)
        so_far = [self.config, self.start.definition(), arm.config, arm.copies_experts]
        for leg in arm.legs:
            so_far.append(leg.definition())
            self._run(transformer, leg, seed, so_far)
        transformer.eval()
        return transformer

    def _new(self, config: dict[str, Any], seed: int) -> UniViGUTransformer:
        torch.manual_seed(seed)
        transformer: UniViGUTransformer = UniViGUTransformer(**config)
        transformer.train()
        return transformer

    def _run_definition(self, seed: int) -> dict[str, Any]:
        """Return what decides how any leg is trained, defaults included."""
        run = asdict(TrainingRun(out_dir=Path(), num_steps=1, seed=seed, **self.options))
        return {name: value for name, value in run.items() if name not in ("out_dir", "num_steps")}

    def _run(self, transformer: UniViGUTransformer, leg: Leg, seed: int, so_far: Any) -> None:
        """Train a leg in place, unless its average is there already, and take the average."""
        decisive = [so_far, self._run_definition(seed), len(self.world.scenes)]
        name = f"{leg.stage}-{seed}-{digest(decisive)}"
        out_dir = self.folder / "runs" / name
        run = TrainingRun(out_dir=out_dir, num_steps=leg.num_steps, seed=seed, **self.options)
        if not (out_dir / "ema.safetensors").exists():
            batches = self.world.batches(transformer.config)
            scenes, pad = self.world.scenes, self.world.tokenizer.pad_token_id
            for _ in train(transformer, scenes, batches, leg.as_stage(), run, pad_id=pad):
                pass  # the run keeps its own log
        take_average(transformer, run)


def small_course(folder: Path, world: World) -> Course:
    """Return the course whose figures are reported."""
    options = {
        "batch_size": 32,
        "learning_rate": 1e-2,  # three times slower at a third of it
        "warmup_steps": 20,
        "ema_decay": 0.98,
        "autocast": False,  # casts cost more than they save at this width
        "save_every": 60,
    }
    return Course(folder, world, SMALL, VIDEO, options)
