"""All that a noisy Moving Shapes clip could be, in a linear code, and its mean.

A scene's code is its background's plus, for each colour channel, the code of its outline times what
the object's colour has more than the background. So a product with each outline tells how likely
every scene is, whatever its colours.

Shapes: K kinds (motion, shape, size), P outlines of each, F latent frames, D numbers of a frame.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

import torch
from torch import Tensor

from model.training.moving_shapes import (
    BACKGROUNDS,
    COLORS,
    MOTIONS,
    SHAPES,
    SIZES,
    Scene,
    coverages,
)
from model.training.patch_code import PatchCode
from model.training.world_words import TABLE, scene_of

_SEED = 5
_DRAWN_AT_ONCE = 192
#: kinds whose words are less likely than the best one's by this logarithm are not looked at
_NEGLIGIBLE = 25.0


def outlined_scenes(num_paths: int) -> list[Scene]:
    """Return red scenes on black, `num_paths` of each motion, shape and size in turn."""
    rng = random.Random(_SEED)
    kinds = product(MOTIONS, SHAPES, SIZES)
    return [scene_of(rng, *kind, "red", "black") for kind in kinds for _ in range(num_paths)]


@dataclass(frozen=True)
class Likely:
    """How likely scenes are."""

    #: numbers of the kinds that words leave
    kinds: list[int]
    #: logarithms [kinds, P, colours, backgrounds], up to a constant
    logits: Tensor

    @cached_property
    def weights(self) -> Tensor:
        """Probabilities [kinds, P, colours, backgrounds]."""
        return self.logits.flatten().softmax(0).view_as(self.logits)

    def tinted(self) -> Tensor:
        """Return how much of each outline is in the mean, [kinds, P, 3]."""
        return torch.einsum("kpcg,cga->kpa", self.weights, tints())


@dataclass(frozen=True)
class Outlines:
    """The world's outlines in a linear code."""

    codes: Tensor  # [F, K, P, 3, D]
    norms: Tensor  # [F, K, P, colours, backgrounds], squared, of whole scenes
    ground: Tensor  # [backgrounds, D], a frame without object

    @classmethod
    def drawn(cls, code: PatchCode, num_paths: int) -> Outlines:
        """Draw `num_paths` outlines of each kind."""
        scenes = outlined_scenes(num_paths)
        parts = [
            code.outline(coverages(scenes[i : i + _DRAWN_AT_ONCE]))
            for i in range(0, len(scenes), _DRAWN_AT_ONCE)
        ]
        codes = torch.cat(parts).permute(3, 0, 1, 2, 4, 5).flatten(3).contiguous()
        codes = codes.unflatten(1, (-1, num_paths))
        plain = code.plain(_normed(BACKGROUNDS))
        ground = plain.repeat_interleave(codes.shape[-1] // plain.shape[1], 1)
        return cls(codes, torch.stack([_norms(part, ground) for part in codes]), ground)

    def mean(
        self, seen: Tensor, sigma: float, said: Tensor, own: Tensor, kind: tuple[int, int, int]
    ) -> Tensor:
        """Return the mean (C, F, h, w) of what noisy latents could be.

        Args:
            seen: (C, F, h, w), (1 - sigma) times a scene's code plus sigma times noise; of the
                first F frames.
            sigma: noise level.
            said: table of the log-likelihood of the words.
            own: (3, C, F, h, w), the scene's own outline, which stands for the first of its kind.
            kind: its motion, shape and size.
        """
        frames = frames_of(seen)
        mine = own.permute(2, 0, 1, 3, 4).flatten(2)  # [F, 3, D]
        likely = self.likely(frames, sigma, said, (_kind_index(kind), mine))
        first = likely.kinds.index(_kind_index(kind)), 0
        tinted = likely.tinted()
        own_mean = torch.einsum("a,fad->fd", tinted[first], mine)
        tinted[first] = 0
        return _unframed(self._mixed(likely, tinted, own_mean), seen)

    def mean_of(self, likely: Likely, like: Tensor) -> Tensor:
        """Return the mean (C, F, h, w) of what is likely, in the shape of `like`."""
        frames = torch.zeros_like(frames_of(like))
        return _unframed(self._mixed(likely, likely.tinted(), frames), like)

    def _mixed(self, likely: Likely, tinted: Tensor, others: Tensor) -> Tensor:
        """Return frames of a background, other frames, and outlines, each as much of it."""
        result = likely.weights.sum((0, 1, 2)) @ self.ground + others
        for k, part in zip(likely.kinds, tinted, strict=True):
            result = result + part.flatten() @ self.codes[: len(others), k].flatten(1, 2)
        return result

    def likely(
        self,
        frames: Tensor,
        sigma: float,
        said: Tensor,
        instead: tuple[int, Tensor] | None = None,
    ) -> Likely:
        """Return how likely each scene is behind noisy frames.

        Args:
            frames: [F, D], (1 - sigma) times a scene's code plus sigma times noise.
            sigma: noise level.
            said: table of the log-likelihood of the words.
            instead: number of a kind, and the outline [F, 3, D] that stands for its first one.
        """
        words = said.flatten(0, 2)  # [K, colours, backgrounds]
        best = words.amax((1, 2))
        kinds = (best > best.max() - _NEGLIGIBLE).nonzero()[:, 0].tolist()
        products = torch.stack(
            [
                torch.stack([self.codes[f, k] @ frame for k in kinds])
                for f, frame in enumerate(frames)
            ]
        ).sum(0)  # [kinds, P, 3]
        norms = self.norms[: len(frames), kinds].sum(0)
        if instead is not None:
            kind, outline = instead
            products[kinds.index(kind), 0] = (outline * frames[:, None]).sum((0, 2))
            norms[kinds.index(kind), 0] = _norms(outline, self.ground).sum(0)
        along = frames.sum(0) @ self.ground.T + torch.einsum("cga,kpa->kpcg", tints(), products)
        away = 2 * (1 - sigma) * along - (1 - sigma) ** 2 * norms
        return Likely(kinds, words[kinds][:, None] + away / (2 * sigma**2))


def frames_of(latents: Tensor) -> Tensor:
    """Return latents (C, F, h, w) as frames [F, D]."""
    return latents.permute(1, 0, 2, 3).flatten(1)


def _unframed(frames: Tensor, like: Tensor) -> Tensor:
    c, _, h, w = like.shape
    return frames.view(-1, c, h, w).permute(1, 0, 2, 3)


@cache
def tints() -> Tensor:
    """Return what colours have more than backgrounds, (colours, backgrounds, 3)."""
    return _normed(COLORS)[:, None] - _normed(BACKGROUNDS)


def _norms(codes: Tensor, ground: Tensor) -> Tensor:
    """Return squared norms (..., colours, backgrounds) of frames with outlines (..., 3, D)."""
    squares = codes @ codes.transpose(-2, -1)
    crossed = torch.einsum("cga,...ag->...cg", tints(), codes @ ground.T)
    tinted = torch.einsum("cga,...ab,cgb->...cg", tints(), squares, tints())
    return ground.square().sum(1) + 2 * crossed + tinted


def _kind_index(kind: tuple[int, int, int]) -> int:
    motion, shape, size = kind
    return (motion * TABLE[1] + shape) * TABLE[2] + size


def _normed(palette: dict[str, tuple[int, int, int]]) -> Tensor:
    return torch.tensor([*palette.values()], dtype=torch.float32) / 127.5 - 1
