"""Brings one decoded frame upright and to the size a model takes; knows nothing of time."""

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image


def fit(frame: VideoFrame, height: int, width: int, pixel_aspect: float) -> NDArray[np.uint8]:
    """Scale a frame to cover the target and crop it centrally, after applying its rotation.

    Args:
        frame: a decoded frame; its display matrix says how far it is turned.
        height: of the result, in pixels.
        width: of the result, in pixels.
        pixel_aspect: width of a stored pixel over its height.

    Returns:
        [height, width, 3] uint8 RGB.
    """
    quarter_turns = round(frame.rotation / 90) % 4
    size = (width, height) if quarter_turns % 2 == 0 else (height, width)
    box = cover_box(frame.width, frame.height, size[0] / size[1] / pixel_aspect)
    picture = Image.fromarray(frame.to_ndarray(format="rgb24", threads=1))
    # The gap lets it average whole blocks first: several times faster where much is shrunk.
    scaled = picture.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    return np.rot90(np.asarray(scaled), quarter_turns)


def cover_box(width: int, height: int, aspect: float) -> tuple[float, float, float, float]:
    """Return the largest central box of the given aspect as (left, top, right, bottom).

    Cropping before scaling keeps the cost bounded by the source, however extreme its shape.
    """
    box_width, box_height = min(width, height * aspect), min(height, width / aspect)
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, left + box_width, top + box_height
