"""Run one training stage from a config file: `univigu train STAGE --config FILE`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file

from model.training.autoencoder import train_autoencoder
from model.training.clips import OnLine
from model.training.config import read_autoencoder, read_stage
from model.training.course import clip_course
from model.training.processes import Processes
from model.training.state import whole_tensors
from model.training.trainable import choose_trainable, finish_lora
from model.training.trainer import train
from model.training.training_run import TrainingRun
from model.training.world_course import world_course
from model.transformer import UniViGUTransformer

OnStep = Callable[[int, int, dict[str, float]], None]


def run_stage(
    stage: str,
    config: Path,
    on_step: OnStep = lambda step, total, row: None,
    on_line: OnLine = lambda count, place: None,
) -> Path | None:
    """Train one stage to its end, resuming an earlier run of it.

    In many processes, which a launcher has started, each calls this.

    Args:
        stage: `vae`, `base`, `recall` or `refine`.
        config: TOML file; see `model.training.config`.
        on_step: called with (steps done, steps in all, losses), in the first process.
        on_line: called with (manifest lines done by this process, place of the last one) while
            clips are coded.

    Returns:
        The folder that now holds the stage's result; None but in the first process.

    Raises:
        ValueError: for an unknown stage, key or value, naming what is allowed.
        FileNotFoundError: if an earlier stage has not been run.
        ConnectionError: if another process of the run is gone.
    """
    processes = Processes.started()
    if stage == "vae":
        if processes.count > 1:
            raise ValueError(f"stage vae: trains in one process, not {processes.count}")
        run = read_autoencoder(config)
        for row in train_autoencoder(run):
            on_step(int(row["step"]) + 1, run.num_steps, row)
        return run.out_dir
    wanted = read_stage(stage, config)
    training = wanted.run
    if wanted.data is not None:
        course = clip_course(wanted, wanted.data, processes, on_line)
    else:
        with processes.first_alone():
            course = world_course(wanted)
    transformer = course.transformer.train()
    choose_trainable(
        transformer, training.trainable, lora_rank=training.lora_rank, seed=training.seed
    )
    rows = train(
        transformer,
        course.subjects,
        course.batches,
        course.stage,
        training,
        pad_id=course.pad_id,
        processes=processes,
        knowledge=course.knowledge,
    )
    for row in rows:
        if processes.is_first:
            on_step(int(row["step"]) + 1, training.num_steps, row)
    trained = whole_network(transformer, training, processes)
    if trained is None:
        return None
    take_average(trained, training)
    course.save(trained, training.out_dir)
    return training.out_dir


def whole_network(
    transformer: UniViGUTransformer, run: TrainingRun, processes: Processes
) -> UniViGUTransformer | None:
    """Return the trained network in one piece in the first process, None in the others.

    All processes have to call this, since each may hold a share of the weights.
    """
    if processes.count == 1 or run.parallel == "ddp":
        return transformer if processes.is_first else None
    weights = whole_tensors(transformer.state_dict(), keep=processes.is_first)
    if not processes.is_first:
        return None
    whole: UniViGUTransformer = UniViGUTransformer.from_config(transformer.config)
    choose_trainable(whole, run.trainable, lora_rank=run.lora_rank, seed=run.seed)
    whole.load_state_dict(weights)
    return whole


def take_average(transformer: UniViGUTransformer, run: TrainingRun) -> None:
    """Give the network its averaged weights, and its adapters the end that the run asks for."""
    average = load_file(run.out_dir / "ema.safetensors")
    missing, unexpected = transformer.load_state_dict(average, strict=False)
    trained = {name for name, p in transformer.named_parameters() if p.requires_grad}
    assert not unexpected, f"the average has weights of another network: {unexpected}"
    assert not trained & {*missing}, "the average lacks weights that were trained"
    if run.trainable == "text+lora":
        finish_lora(transformer, run.out_dir / "adapter", merge=run.merge_lora)
