"""What a score is asked about: scenes that training never saw, and the checkpoint to ask."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

from model.evaluation.checker import Frames
from model.evaluation.compression import h264_round_trip
from model.evaluation.sampling import BatchSampler
from model.latents import to_uint8
from model.training.moving_shapes import Scene, render, sample_scene

ATTRIBUTES = ("color", "shape", "motion", "background", "size")
PROMPTED = ("color", "shape", "motion")
SIDES = ("seen", "held_out")
#: keeps evaluation scenes apart from every training seed
_SEED_OFFSET = 7_000_000


@dataclass(frozen=True)
class Trial:
    """Scenes of one side of the hold-out.

    Args:
        side: of `SIDES`.
        seeds: one per scene; the first decides the scenes.
        model: the checkpoint.
        base: the checkpoint that it was trained from, where one is given.
    """

    side: str
    seeds: range
    model: BatchSampler
    base: BatchSampler | None = None

    @cached_property
    def scenes(self) -> list[Scene]:
        """One scene per seed."""
        rng = random.Random(_SEED_OFFSET + self.seeds.start)
        return [sample_scene(rng, held_out=self.side == "held_out") for _ in self.seeds]

    def clips(self, scale: int = 1) -> list[Frames]:
        """Return the scenes as the model gets them.

        Args:
            scale: how many times larger they are drawn and coded than the model takes them.
        """
        side = self.model.height
        drawn = to_uint8(render(self.scenes, scale * side, self.model.num_frames)).numpy()
        return [h264_round_trip(clip, self.model.fps, side) for clip in drawn]

    def served(self, frames: Frames) -> Frames:
        """Return a generated clip as a client gets it."""
        return h264_round_trip(frames, self.model.fps)


def named(scene: Scene, names: tuple[str, ...]) -> dict[str, str]:
    """Return some attributes of a scene."""
    return {name: getattr(scene, name) for name in names}
