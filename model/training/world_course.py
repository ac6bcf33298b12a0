"""What a stage is given of the demo world; for real clips, see `course`."""

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
from model.pipeline import UniViGUPipeline
from model.presets import PRESETS
from model.training.assemble import moving_shapes_pipeline, save_checkpoint
from model.training.config import StageConfig
from model.training.course import Course, load_transformer
from model.training.data import BatchMaker, ConditionTable
from model.training.knowledge import NOTHING_KNOWN, Knowledge, Sharpen, as_drawn
from model.training.moving_shapes import Scene, render, sample_scene
from model.training.rollouts import Rollouts, Serving
from model.training.stage import Stage
from model.training.world_answers import WorldAnswers
from model.training.world_targets import WorldTargets
from model.transformer import UniViGUTransformer

_SCENE_SEED = 10
_RENDER_BATCH = 100


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


def world_course(wanted: StageConfig) -> Course:
    """Code the world, load or make the network and return the course.

    Raises:
        ValueError: if the stage asks for what cannot be known with this autoencoder or network.
        FileNotFoundError: if an earlier stage has not been run.
    """
    folder = wanted.folder
    if wanted.start is None:
        torch.manual_seed(0)
        transformer = UniViGUTransformer(**PRESETS["demo"])
    else:
        transformer = load_transformer(_existing(wanted.start / "transformer"))
    _refuse_unknown(wanted.stage, transformer.config.text_flow)
    vae = AutoencoderKLWan.from_pretrained(_existing(folder / "vae"))
    pipeline = moving_shapes_pipeline(transformer, vae)
    scenes, latents = _coded_world(folder, wanted.scenes, vae)

    def save(trained: UniViGUTransformer, out: Path) -> None:
        pipeline.register_modules(transformer=trained.eval())
        save_checkpoint(pipeline, out)

    config, tokenizer = transformer.config, pipeline.tokenizer
    conditions = ConditionTable(pipeline.text_encoder, tokenizer, config.condition_length)
    batches = BatchMaker(latents, conditions, tokenizer, config)
    knowledge = NOTHING_KNOWN
    if wanted.stage.needs_world:
        knowledge = _knowledge(wanted, pipeline, batches, scenes, latents)
    stage, pad_id = wanted.stage, tokenizer.pad_token_id
    return Course(transformer, scenes, batches, stage, pad_id, save, knowledge)


def _knowledge(
    wanted: StageConfig,
    pipeline: UniViGUPipeline,
    batches: BatchMaker,
    scenes: list[Scene],
    latents: Tensor,
) -> Knowledge:
    stage, transformer, serving = wanted.stage, pipeline.transformer, pipeline.config.serving
    targets = WorldTargets(scenes, latents, pipeline.tokenizer, transformer.config.caption_length)
    sharpen: Sharpen = as_drawn
    if stage.exact_above < 1:
        sharpen = partial(targets.sharpen, above=stage.exact_above)
    if not stage.rollout_every:
        return Knowledge(sharpen)
    answers = WorldAnswers(targets, lambda some: encode_pixels(pipeline.vae, render(some)))
    asked = Serving(
        video_shift=pipeline.scheduler.config.shift,
        text_shift=serving["text_shift"],
        draft_above=serving["draft_above"],
        guidance_scale=serving["guidance_scale"],
        guidance_above=serving["guidance_above"],
        rereads=serving["rereads_caption"],
    )
    rollouts = Rollouts(transformer, scenes, batches, stage, wanted.run, answers, asked)
    return Knowledge(sharpen, rollouts)


def _refuse_unknown(stage: Stage, text_flow: str) -> None:
    if stage.needs_world and text_flow != "discrete_uniform":
        raise ValueError(
            f"exact_above {stage.exact_above}, rollout_every {stage.rollout_every}: must be 1 and "
            f"0 with text_flow {text_flow!r}, whose likelihoods are not written down"
        )


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
