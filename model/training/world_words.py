"""What words say of a Moving Shapes scene: tables over all that there is to say of one.

A table has a number for each motion, shape, size, colour and background, in this order.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from model.text import caption_ids
from model.training.moving_shapes import (
    BACKGROUNDS,
    COLORS,
    MOTIONS,
    NUM_PROMPT_FORMS,
    SHAPES,
    SIZES,
    Scene,
    is_held_out,
    place_scene,
)

#: sizes of a table
TABLE = tuple(map(len, (MOTIONS, SHAPES, SIZES, COLORS, BACKGROUNDS)))
_PROMPTED = ("color", "shape", "motion")
#: least chance that a word of a noisy caption is another than the clean one's
_LEAST_OTHER = 1e-9


class Captions:
    """How likely a noisy caption is for each entry of a table.

    Attributes:
        ids: the captions, a table of (L,).

    Args:
        tokenizer: of the captions.
        length: L.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, length: int) -> None:
        self.ids = caption_ids(tokenizer, captions(), length).view(*TABLE, length)
        self._vocab_size = len(tokenizer)

    def log_likelihood(self, noisy: Tensor, sigma: float) -> Tensor:
        """Return a table for ids (L,) of which each is a random one with probability `sigma`."""
        other = max(sigma / self._vocab_size, _LEAST_OTHER)
        kept = 1 - sigma + other
        right = (self.ids == noisy).sum(-1)
        return right * math.log(kept) + (len(noisy) - right) * math.log(other)


def places() -> Iterator[tuple[str, ...]]:
    """Return what the entries of a table stand for, in their order."""
    return product(MOTIONS, SHAPES, SIZES, COLORS, BACKGROUNDS)


def scene_of(
    rng: random.Random, motion: str, shape: str, size: str, color: str, background: str
) -> Scene:
    """Draw a path for a scene of which all else is given."""
    return replace(place_scene(rng, color, shape, motion), size=size, background=background)


def place_of(scene: Scene) -> tuple[int, int, int, int, int]:
    """Return where a scene stands in a table."""
    return (
        MOTIONS.index(scene.motion),
        SHAPES.index(scene.shape),
        [*SIZES].index(scene.size),
        [*COLORS].index(scene.color),
        [*BACKGROUNDS].index(scene.background),
    )


@cache
def captions() -> list[str]:
    """Return the captions of the entries of a table, in their order."""
    return [scene_of(random.Random(0), *place).caption() for place in places()]


@cache
def trained() -> Tensor:
    """Return a table of 1 for what training shows and 0 for the hold-out."""
    seen = [not is_held_out(color, shape, motion) for motion, shape, _, color, _ in places()]
    return torch.tensor(seen, dtype=torch.float32).view(TABLE)


@cache
def prompts() -> dict[str, Tensor]:
    """Return, for every prompt, a table of 1 for the scenes that it can be said of."""
    tables: dict[str, Tensor] = {}
    for place in places():
        scene = scene_of(random.Random(0), *place)
        said = {scene.prompt(form) for form in range(NUM_PROMPT_FORMS)}
        for kept in product((True, False), repeat=len(_PROMPTED)):
            names = [name for name, keep in zip(_PROMPTED, kept, strict=True) if keep]
            said.add(scene.open_prompt(names))
        for prompt in said:
            tables.setdefault(prompt, torch.zeros(TABLE))[place_of(scene)] = 1.0
    return tables


@cache
def texts() -> dict[str, Tensor]:
    """Return the same of every prompt and caption."""
    one_each = torch.eye(len(captions())).view(-1, *TABLE)
    return prompts() | dict(zip(captions(), one_each, strict=True))
