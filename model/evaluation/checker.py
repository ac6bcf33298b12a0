"""The pixel checker: what a Moving Shapes clip shows, read from its pixels alone.

It knows the world's palette and outlines but no network, and shares no code with the renderer that
training uses: shapes are told apart by overlap with templates drawn here by point sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Frames = np.ndarray[Any, np.dtype[np.uint8]]
Array = np.ndarray[Any, np.dtype[np.float64]]

PALETTE = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 190),
    "orange": (240, 140, 30),
    "cyan": (60, 210, 220),
    "pink": (245, 130, 180),
}
BACKGROUNDS = {"black": (10, 10, 10), "white": (245, 245, 245), "gray": (128, 128, 128)}
#: outline, area and centroid below the centre, for radius 1
SHAPE_FACTS = {
    "circle": (math.pi, 0.0),
    "square": (3.24, 0.0),
    "triangle": (1.8792, 0.2),
    "cross": (2.2044, 0.0),
}
RADII = {"small": 0.11, "large": 0.20}

#: an object at least this far (RGB distance) from the background is seen at all
_MIN_CONTRAST = 30.0
#: fraction of the frame side that a straight motion covers at least
_MIN_TRAVEL = 0.17
#: a still object drifts at most this far
_MAX_DRIFT = 0.08
#: |log(radius at the end / radius at the start)| from which size is changing; the world's is 1.1
_MIN_GROWTH = 0.55
#: a clip whose object is visible in fewer frames than this share shows nothing
_MIN_VISIBLE = 0.8


@dataclass(frozen=True)
class Observation:
    """What a clip shows; `unclear` where no value of the world fits."""

    color: str
    shape: str
    motion: str
    background: str
    size: str
    color_error: float = 0.0  # mean absolute RGB difference to the palette entry, 0..255

    @property
    def is_visible(self) -> bool:
        """Whether there is an object at all."""
        return self.color != "unclear"


NOTHING = Observation("unclear", "unclear", "unclear", "unclear", "unclear")


def observe(frames: Frames) -> Observation:
    """Read the attributes of a clip.

    Args:
        frames: (F, H, W, 3) uint8, H = W.
    """
    coverage, color, ground = segment(frames)
    areas = coverage.sum(axis=(1, 2))
    visible = areas > 4
    if visible.mean() < _MIN_VISIBLE:
        return NOTHING
    centres = np.array([_centroid(mask) for mask in coverage[visible]])
    name, error = _nearest(color, PALETTE)
    shape = _shape(coverage[visible], centres, areas[visible])
    radii = np.sqrt(areas[visible] / SHAPE_FACTS[shape][0]) / frames.shape[1]
    return Observation(
        color=name,
        shape=shape,
        motion=_motion(centres / frames.shape[1], radii),
        background=_nearest(ground, BACKGROUNDS)[0],
        size=min(RADII, key=lambda size: abs(math.log(radii.mean() / RADII[size]))),
        color_error=error,
    )


def _background(pixels: Array) -> Array:
    edge = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    result: Array = np.median(edge.reshape(-1, 3), axis=0)
    return result


def segment(frames: Frames) -> tuple[Array, Array, Array]:
    """Return soft coverage (F, H, W) in [0, 1], the object's colour and the background's."""
    pixels = frames.astype(np.float64)
    ground = _background(pixels)
    offset = pixels - ground
    distance = np.linalg.norm(offset, axis=-1)
    core = distance > max(_MIN_CONTRAST, 0.7 * float(np.percentile(distance, 99.5)))
    if not core.any():
        return np.zeros(distance.shape), ground, ground
    color: Array = np.median(pixels[core], axis=0)
    direction = (color - ground) / np.square(color - ground).sum()
    coverage = np.clip(offset @ direction, 0, 1)
    coverage[coverage < 0.2] = 0  # compression noise, not object
    return coverage, color, ground


def _centroid(mask: Array) -> tuple[float, float]:
    rows, columns = np.indices(mask.shape) + 0.5
    total = mask.sum()
    return float((mask * columns).sum() / total), float((mask * rows).sum() / total)


def _nearest(color: Array, palette: dict[str, tuple[int, int, int]]) -> tuple[str, float]:
    errors = {name: float(np.abs(color - np.array(rgb)).mean()) for name, rgb in palette.items()}
    name = min(errors, key=lambda entry: float(np.linalg.norm(color - np.array(palette[entry]))))
    return name, errors[name]


def _motion(centres: Array, radii: Array) -> str:
    count = max(1, len(radii) // 6)
    growth = math.log(float(radii[-count:].mean() / radii[:count].mean()))
    dx, dy = (float(v) for v in centres[-count:].mean(axis=0) - centres[:count].mean(axis=0))
    # the ends are averages over `count` frames, a little inside the path
    travel = max(abs(dx), abs(dy))
    if travel < _MAX_DRIFT:
        if abs(growth) < _MIN_GROWTH / 2:
            return "still"
        if abs(growth) > _MIN_GROWTH:
            return "growing" if growth > 0 else "shrinking"
        return "unclear"
    if travel < _MIN_TRAVEL or min(abs(dx), abs(dy)) > travel / 2:
        return "unclear"
    if abs(growth) > _MIN_GROWTH:
        return "unclear"
    if abs(dx) > abs(dy):
        return "left" if dx < 0 else "right"
    return "up" if dy < 0 else "down"


def _shape(coverage: Array, centres: Array, areas: Array) -> str:
    """Return the shape whose templates overlap best, over the larger half of the frames."""
    larger = np.argsort(areas)[-max(1, len(areas) // 2) :]
    scores = {
        name: sum(
            _overlap(coverage[i], _template(name, centres[i], areas[i], coverage[i].shape))
            for i in larger
        )
        for name in SHAPE_FACTS
    }
    return max(scores, key=lambda name: scores[name])


def _overlap(mask: Array, template: Array) -> float:
    return float(np.minimum(mask, template).sum() / np.maximum(mask, template).sum())


def _template(name: str, centre: Array, area: float, size: tuple[int, ...]) -> Array:
    """Draw a shape of a given area around its centroid, by 4x4 points per pixel."""
    unit_area, centroid = SHAPE_FACTS[name]
    radius = math.sqrt(area / unit_area)
    rows, columns = (np.indices((size[0] * 4, size[1] * 4)) + 0.5) / 4
    x = (columns - centre[0]) / radius
    y = (rows - centre[1]) / radius + centroid
    inside = _inside(name, x, y)
    result: Array = inside.reshape(size[0], 4, size[1], 4).mean(axis=(1, 3))
    return result


def _inside(name: str, x: Array, y: Array) -> Any:
    if name == "circle":
        return x**2 + y**2 <= 1
    if name == "square":
        return (abs(x) <= 0.9) & (abs(y) <= 0.9)
    if name == "triangle":
        return (y >= -1) & (y <= 0.8) & (abs(x) <= 0.58 * (y + 1))
    return ((abs(x) <= 0.33) & (abs(y) <= 1)) | ((abs(x) <= 1) & (abs(y) <= 0.33))
