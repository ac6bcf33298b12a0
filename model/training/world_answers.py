"""The best answers to any noisy clip and caption of the Moving Shapes world, whoever made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from model.sampler import JointState
from model.training.moving_shapes import BACKGROUNDS, COLORS, Scene
from model.training.world_fit import fit
from model.training.world_outlines import Likely, frames_of, outlined_scenes
from model.training.world_targets import WorldTargets
from model.training.world_words import place_of

#: noise level below which one scene is likely, of which the outlines drawn are no more than near
_ONE_BELOW = 0.9
#: noise level below which what the linear code misses is seen
_CODED_BELOW = 0.45
#: kinds whose nearest outlines are fitted: the nearest one drawn need not be of the right kind
_NUM_FITTED = 4


class WorldAnswers:
    """Says where noisy clips should go, and which captions they should get.

    Args:
        targets: of the world.
        encode: makes latents of scenes.
    """

    def __init__(self, targets: WorldTargets, encode: Callable[[list[Scene]], Tensor]) -> None:
        self._targets, self._encode = targets, encode
        self._drawn = outlined_scenes(targets.outlines.codes.shape[2])

    @torch.no_grad()
    def __call__(
        self, state: JointState, prompts: Sequence[str | None], generators: Sequence[Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return velocities like the latents, and ids (B, L) of captions drawn by likelihood.

        Args:
            state: of both streams, at most at noise, on the CPU.
            prompts: B, of this world.
            generators: B.
        """
        latents, captions, sigma = state.latents, state.caption, state.video_sigma
        assert latents is not None
        assert captions is not None
        said = [
            self._targets.said(prompt, words, state.text_sigma)
            for prompt, words in zip(prompts, captions, strict=True)
        ]
        likely = [
            self._targets.outlines.likely(frames_of(clip), sigma, table)
            for clip, table in zip(latents, said, strict=True)
        ]
        answer = self._mean if sigma >= _ONE_BELOW else self._fitted
        rows = zip(likely, said, latents, generators, strict=True)
        found = [answer(*row, sigma) for row in rows]
        scenes = [scene for scene, _ in found]
        clean = torch.stack([code for _, code in found])
        if sigma < _CODED_BELOW:
            clean = self._encode(scenes)
        ids = torch.stack([self._targets.captions.ids[place_of(scene)] for scene in scenes])
        return (latents - clean) / sigma, ids

    def _mean(
        self, likely: Likely, said: Tensor, noisy: Tensor, generator: Generator, sigma: float
    ) -> tuple[Scene, Tensor]:
        """Return a scene drawn by likelihood, and the mean of all."""
        scene = self._scene(likely, _drawn_from(likely.logits.flatten(), generator))
        return scene, self._targets.outlines.mean_of(likely, noisy)

    def _fitted(
        self, likely: Likely, said: Tensor, noisy: Tensor, generator: Generator, sigma: float
    ) -> tuple[Scene, Tensor]:
        """Return a scene drawn from those that come nearest, and its code."""
        tried = [*self._nearest(likely)]
        ground = self._targets.outlines.ground
        found = fit(
            self._targets.code, ground, tried, noisy.expand(len(tried), -1, -1, -1, -1), sigma
        )
        words = torch.stack([said[place_of(scene)] for scene in found.scenes])
        chosen = _drawn_from(words - found.distances / (2 * sigma**2), generator)
        return found.scenes[chosen], found.codes[chosen]

    def _nearest(self, likely: Likely) -> Iterator[Scene]:
        """Return the likeliest scene of each of the likeliest kinds."""
        best, places = likely.logits.flatten(1).max(1)
        for i in best.topk(min(_NUM_FITTED, len(best))).indices.tolist():
            yield self._scene(likely, i * likely.logits[0].numel() + int(places[i]))

    def _scene(self, likely: Likely, place: int) -> Scene:
        """Return the scene that a place in the flattened logits stands for."""
        where = torch.unravel_index(torch.tensor(place), likely.logits.shape)
        kind, path, color, background = (int(index) for index in where)
        drawn = self._drawn[likely.kinds[kind] * likely.logits.shape[1] + path]
        return replace(drawn, color=[*COLORS][color], background=[*BACKGROUNDS][background])


def _drawn_from(logits: Tensor, generator: Generator) -> int:
    return int(torch.multinomial(logits.softmax(0), 1, generator=generator))
