"""The training loop: one stage, in one process or many, resumable from its last save.

What a stage means is `stage`, what a loss is `objective`, what a batch is `data`, who computes
which rows is `processes`; this module only repeats them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from model.training.data import BatchMaker, Subject, draw_samples
from model.training.knowledge import NOTHING_KNOWN, Knowledge
from model.training.objective import losses
from model.training.optimizers import learning_rate
from model.training.processes import Processes
from model.training.stage import Stage
from model.training.state import TrainingState, whole_tensors
from model.training.step_log import step_log
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
    processes: Processes | None = None,
    knowledge: Knowledge = NOTHING_KNOWN,
) -> Iterator[dict[str, float]]:
    """Train `transformer` in place, yielding a log row per step.

    Every `save_every` steps the state to resume from is written to `out_dir`, and a run that finds
    one goes on from there, bit for bit on a CPU; at the end the averaged weights are written to
    `out_dir/ema.safetensors`. Frozen weights are neither stepped nor averaged.

    Raises:
        ValueError: if the processes, those of the launcher unless given, cannot share a batch.
        ConnectionError: if another process of the run is gone.
    """
    processes = processes or Processes.started()
    processes.rows(run.batch_size)  # refused before anything runs
    if run.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if run.compile:
        transformer.compile(dynamic=False)
    forward = processes.place(transformer, run.parallel, has_unused="video_only" in stage.mixture)
    run.out_dir.mkdir(parents=True, exist_ok=True)
    state = TrainingState.first(transformer, run)
    start = state.load(run.out_dir)
    log = step_log(run.out_dir, start) if processes.is_first else nullcontext(_no_log)
    with log as write, processes.in_touch():
        for step in range(start, run.num_steps):
            started = time.monotonic()
            samples, num_frames = draw_samples(state.rng, scenes, stage, run.batch_size)
            short = num_frames is not None
            made = batches.make(samples, stage, state.generator, num_frames)
            whole = knowledge.weighed(made, short=short)
            rows = processes.rows(len(samples))
            if step == start or step % run.save_every == 0:
                knowledge.restart(step)
            mine = whole.rows(rows, processes.device)
            batch = knowledge.into(mine, samples[rows], rows, short=short)
            with run.precision(processes.device):
                parts = losses(transformer, batch, stage, pad_id, whole=whole, forward=forward)
            # gradients are averaged over the processes, and it is the sum that is wanted
            (parts["total"] * processes.count).backward()
            torch.nn.utils.clip_grad_norm_(transformer.parameters(), run.gradient_clip)
            rate = learning_rate(step, run)
            state.optimizers.step(rate)
            _average(state.average, transformer, min(run.ema_decay, (1 + step) / (10 + step)))
            row = processes.sums(parts)
            seconds = time.monotonic() - started
            row |= {"step": step, "seconds": seconds, "learning_rate": rate}
            write(row)
            if (step + 1) % run.save_every == 0 or step + 1 == run.num_steps:
                state.save(run.out_dir, step + 1, write=processes.is_first)
            yield row
    weights = whole_tensors(state.average, keep=processes.is_first)
    if processes.is_first:
        save_file(weights, run.out_dir / "ema.safetensors")


def _no_log(row: dict[str, float]) -> None:
    """Write nothing: the first process does."""


@torch.no_grad()
def _average(average: dict[str, Tensor], transformer: UniViGUTransformer, decay: float) -> None:
    parameters = dict(transformer.named_parameters())
    own = [_own_part(value) for value in average.values()]
    torch._foreach_lerp_(own, [_own_part(parameters[name]) for name in average], 1 - decay)


def _own_part(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value
