"""Moving Shapes for small networks: training clips as latents, and clips that none ever sees."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from benchmarks.ablations.kept import digest
from model.evaluation.trial import SIDES
from model.training.components import new_text_encoder, new_tokenizer
from model.training.data import BatchMaker, ConditionTable
from model.training.moving_shapes import Scene, render, sample_scene, vocabulary
from model.training.patch_code import PatchCode
from model.training.world_course import world_latents

#: start, middle and end of a clip
FRAMES = [0, 2, 4]
_CODE_CLIPS, _CODE_SEED, _TRIAL_SEED = 32, 1, 20


@dataclass(frozen=True)
class Trial:
    """Clips of one side of the hold-out."""

    scenes: list[Scene]
    latents: Tensor  # (n, C, 3, H, W) float32
    prompts: Tensor  # (n, c, text_dim) states


@dataclass(frozen=True)
class World:
    """What every small network is trained on and judged by."""

    scenes: list[Scene]
    latents: Tensor  # (n, C, 3, H, W) bf16
    trials: dict[str, Trial]
    tokenizer: PreTrainedTokenizerBase
    conditions: ConditionTable

    def batches(self, config: Any) -> BatchMaker:
        """Return what makes batches for a network."""
        return BatchMaker(self.latents, self.conditions, self.tokenizer, config)


def make_world(folder: Path, num_scenes: int, num_trials: int, config: Any) -> World:
    """Return the world; its latents are rendered once and kept in the folder.

    Latents are the linear patch code of clean clips, so that no trained autoencoder has a part.

    Args:
        folder: of all runs.
        num_scenes: training clips.
        num_trials: clips per side of the hold-out.
        config: of a transformer, for the length of conditions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    code = PatchCode.fit(render(_scenes(_CODE_SEED, _CODE_CLIPS)))
    # the signs of components are the linear algebra library's
    signs = digest(code.basis.round(decimals=3).tolist())
    cache = folder / f"world-{num_scenes}-{signs}.safetensors"
    scenes, latents = world_latents(cache, num_scenes, code.encode)
    tokenizer = new_tokenizer(vocabulary())
    encoder = new_text_encoder(len(tokenizer))
    conditions = ConditionTable(encoder, tokenizer, config["condition_length"])
    trials = {}
    for side in SIDES:
        unseen = _scenes(_TRIAL_SEED, num_trials, held_out=side == "held_out")
        prompts = torch.stack([conditions[scene.prompt()] for scene in unseen])
        trials[side] = Trial(unseen, code.encode(render(unseen))[:, :, FRAMES], prompts)
    return World(scenes, latents[:, :, FRAMES].contiguous(), trials, tokenizer, conditions)


def _scenes(seed: int, count: int, held_out: bool = False) -> list[Scene]:
    rng = random.Random(seed)
    return [sample_scene(rng, held_out) for _ in range(count)]
