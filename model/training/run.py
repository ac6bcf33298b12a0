"""Run one training stage from a config file: `univigu train STAGE --config FILE`."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.latents import encode_pixels
from model.presets import PRESETS
from model.training.assemble import moving_shapes_pipeline, save_checkpoint
from model.training.autoencoder import train_autoencoder
from model.training.clips import OnLine
from model.training.config import StageConfig, read_autoencoder, read_stage
from model.training.course import Course, clip_course, load_transformer
from model.training.data import BatchMaker, ConditionTable
from model.training.moving_shapes import Scene, render, sample_scene
from model.training.processes import Processes
from model.training.state import whole_tensors
from model.training.trainable import choose_trainable, finish_lora
from model.training.trainer import Sharpen, as_drawn, train
from model.training.training_run import TrainingRun
from model.training.world_targets import WorldTargets
from model.transformer import UniViGUTransformer

OnStep = Callable[[int, int, dict[str, float]], None]

_SCENE_SEED = 10
_RENDER_BATCH = 100


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
            course = _world_course(wanted)
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
        sharpen=course.sharpen,
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


def world_latents(
    cache: Path, count: int, encode: Callable[[Tensor], Tensor]
) -> tuple[list[Scene], Tensor]:
    """Return training scenes and their latents (count, C, F, H, W) bf16, made once.

    Args:
        cache: file of the latents.
        count: of scenes.
        encode: makes latents of clips (N, 3, F, H, W) in [-1, 1].
    """
    rng = random.Random(_SCENE_SEED)
    scenes = [sample_scene(rng) for _ in range(count)]
    if not cache.exists():
        parts = [
            encode(render(scenes[i : i + _RENDER_BATCH])).to(torch.bfloat16)
            for i in range(0, count, _RENDER_BATCH)
        ]
        partial_file = cache.with_suffix(f".{os.getpid()}")
        save_file({"latents": torch.cat(parts).contiguous()}, partial_file)
        partial_file.replace(cache)
    return scenes, load_file(cache)["latents"]


def _world_course(wanted: StageConfig) -> Course:
    folder = wanted.folder
    if wanted.start is None:
        torch.manual_seed(0)
        transformer = UniViGUTransformer(**PRESETS["demo"])
    else:
        transformer = load_transformer(_existing(wanted.start / "transformer"))
    vae = AutoencoderKLWan.from_pretrained(_existing(folder / "vae"))
    pipeline = moving_shapes_pipeline(transformer, vae)
    scenes, latents = _coded_world(folder, wanted.scenes, vae)

    def save(trained: UniViGUTransformer, out: Path) -> None:
        pipeline.register_modules(transformer=trained.eval())
        save_checkpoint(pipeline, out)

    config, tokenizer = transformer.config, pipeline.tokenizer
    conditions = ConditionTable(pipeline.text_encoder, tokenizer, config.condition_length)
    batches = BatchMaker(latents, conditions, tokenizer, config)
    stage, pad_id = wanted.stage, tokenizer.pad_token_id
    sharpen: Sharpen = as_drawn
    if stage.exact_above < 1:
        targets = WorldTargets(scenes, latents, tokenizer, config.caption_length)
        sharpen = partial(targets.sharpen, above=stage.exact_above)
    return Course(transformer, scenes, batches, stage, pad_id, save, sharpen)


def _coded_world(folder: Path, count: int, vae: AutoencoderKLWan) -> tuple[list[Scene], Tensor]:
    """Return the world as the autoencoder in `folder/vae` sees it, another one's kept apart."""
    weights = (folder / "vae" / SAFETENSORS_WEIGHTS_NAME).read_bytes()
    cache = folder / f"world-{count}-{hashlib.sha256(weights).hexdigest()[:12]}.safetensors"
    with torch.inference_mode():
        return world_latents(cache, count, partial(encode_pixels, vae))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path}: run the earlier stage first")
    return path
