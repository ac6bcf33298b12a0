"""How well a Moving Shapes clip is made: crisp, smooth and steady, read from its pixels alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.evaluation.checker import Array, Frames, Observation, segment

#: motions during which the object keeps its size
_CONSTANT_SIZE = ("left", "right", "up", "down", "still")
#: between these shares of its rise an edge is looked at; below is what the checker cuts as noise
_RISE = (0.2, 0.8)
#: pixels covered at least so far show the object's colour and no background
_INSIDE = 0.9


@dataclass(frozen=True)
class Quality:
    """Figures of one clip; all are the better the smaller."""

    #: mean absolute RGB difference between the object and the palette entry it comes nearest to
    color_error: float
    #: pixels over which the object's edge rises from 10 to 90 percent, mean of the clip
    edge_width: float
    #: pixels, root mean square distance of the object's centre from an even straight path
    path_jitter: float
    #: largest mean absolute RGB difference of the object's colour in a frame from its median
    color_flicker: float
    #: largest deviation of the object's area from its median, as a share; None if it changes size
    area_flicker: float | None
    #: the same; None if it does not stand still, where the pixel grid alone makes areas vary
    still_flicker: float | None

    def figures(self) -> dict[str, float]:
        """Return what could be measured."""
        return {name: value for name, value in vars(self).items() if value is not None}


def measure_quality(frames: Frames, seen: Observation) -> Quality | None:
    """Measure a clip.

    Args:
        frames: (F, H, W, 3) uint8.
        seen: what the checker says of it.

    Returns:
        Its figures, None if no object is seen in it.
    """
    if not seen.is_visible:
        return None
    coverage = segment(frames)[0]
    areas = coverage.sum(axis=(1, 2))
    shown = coverage[areas > 0]
    flicker = None
    if seen.motion in _CONSTANT_SIZE:
        median = np.median(areas)
        flicker = float(np.abs(areas - median).max() / median)
    return Quality(
        color_error=seen.color_error,
        edge_width=float(np.mean([_edge_width(mask) for mask in shown])),
        path_jitter=_jitter(shown),
        color_flicker=_color_flicker(frames, coverage),
        area_flicker=flicker,
        still_flicker=flicker if seen.motion == "still" else None,
    )


def _edge_width(mask: Array) -> float:
    """Return the 10 to 90 percent width of the outline of a coverage mask, in pixels.

    Across a linear ramp of width w the integral of c (1 - c) is w / 6, and the integral of the
    gradient over the plane is the outline's length; their quotient needs no outline to be found.
    """
    low, high = _RISE
    rise = np.clip((mask - low) / (high - low), 0, 1)
    down, across = np.gradient(rise)
    seen_width = 6 * (rise * (1 - rise)).sum() / np.hypot(down, across).sum()
    return float(seen_width * 0.8 / (high - low))


def _color_flicker(frames: Frames, coverage: Array) -> float:
    inside = coverage >= min(_INSIDE, coverage.max())
    shades = [
        frame[mask].mean(axis=0) for frame, mask in zip(frames, inside, strict=True) if mask.any()
    ]
    apart = np.abs(np.array(shades) - np.median(shades, axis=0))
    return float(apart.mean(axis=1).max())


def _jitter(coverage: Array) -> float:
    rows, columns = np.indices(coverage.shape[1:]) + 0.5
    areas = coverage.sum(axis=(1, 2))
    path = np.stack([(coverage * axis).sum(axis=(1, 2)) / areas for axis in (columns, rows)], 1)
    times = np.arange(len(path))
    even = np.stack([np.polyval(np.polyfit(times, axis, 1), times) for axis in path.T], 1)
    return float(np.sqrt(np.square(path - even).sum(axis=1).mean()))
