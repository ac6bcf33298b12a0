"""The best answers to any noisy clip and caption of the Moving Shapes world, whoever made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from model.training.data import Batch
from model.training.moving_shapes import BACKGROUNDS, COLORS, Scene
from model.training.world_fit import fit
from model.training.world_outlines import Likely, frames_of, outlined_scenes
from model.training.world_targets import WorldTargets
from model.training.world_words import place_of

#: noise level below which one scene is likely, of which the outlines drawn are no more than near
_ONE_BELOW = 0.9
#: noise level below which what the linear code misses is seen
_CODED_BELOW = 0.45
#: kinds in their colours whose nearest outlines are fitted: the nearest one drawn need not be right
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
        self, noisy: Batch, prompts: Sequence[str | None], generators: Sequence[Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return velocities like the latents, and ids (B, L) of captions drawn by likelihood.

        Args:
            noisy: rows of whole clips and captions, on the CPU; their targets are not looked at.
            prompts: theirs, of this world.
            generators: theirs.
        """
        rows = zip(prompts, generators, strict=True)
        found = [self._answer(noisy, row, *words) for row, words in enumerate(rows)]
        scenes = [scene for scene, _ in found]
        clean = torch.stack([code for _, code in found])
        late = noisy.video_sigma < _CODED_BELOW
        if late.any():
            clean[late] = self._encode([scenes[i] for i in late.nonzero()[:, 0].tolist()])
        ids = torch.stack([self._targets.captions.ids[place_of(scene)] for scene in scenes])
        return (noisy.latents - clean) / noisy.video_sigma.view(-1, 1, 1, 1, 1), ids

    def _answer(
        self, noisy: Batch, row: int, prompt: str | None, generator: Generator
    ) -> tuple[Scene, Tensor]:
        assert noisy.caption is not None
        assert noisy.text_sigma is not None
        clip, sigma = noisy.latents[row], float(noisy.video_sigma[row])
        said = self._targets.said(prompt, noisy.caption[row], float(noisy.text_sigma[row]))
        likely = self._targets.outlines.likely(frames_of(clip), sigma, said)
        if sigma >= _ONE_BELOW:
            place = _drawn_from(likely.logits.flatten(), generator)
            scene = self._scene(likely, *_unraveled(place, likely.logits.shape))
            return scene, self._targets.outlines.mean_of(likely, clip)
        return self._fitted(likely, said, clip, generator, sigma)

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
        """Return the likeliest path of each of the likeliest kinds in their colours."""
        best, paths = likely.logits.max(1)
        for place in best.flatten().topk(min(_NUM_FITTED, best.numel())).indices.tolist():
            kind, color, background = _unraveled(place, best.shape)
            yield self._scene(likely, kind, int(paths[kind, color, background]), color, background)

    def _scene(self, likely: Likely, kind: int, path: int, color: int, background: int) -> Scene:
        drawn = self._drawn[likely.kinds[kind] * likely.logits.shape[1] + path]
        return replace(drawn, color=[*COLORS][color], background=[*BACKGROUNDS][background])


def _unraveled(place: int, shape: Sequence[int]) -> list[int]:
    return [int(index) for index in torch.unravel_index(torch.tensor(place), tuple(shape))]


def _drawn_from(logits: Tensor, generator: Generator) -> int:
    return int(torch.multinomial(logits.softmax(0), 1, generator=generator))
