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
    size = (height, width) if quarter_turns % 2 == 0 else (width, height)
    picture = Image.fromarray(frame.to_ndarray(format="rgb24", threads=1))
    return np.rot90(fit_picture(picture, *size, pixel_aspect), quarter_turns)


def fit_picture(
    picture: Image.Image, height: int, width: int, pixel_aspect: float = 1.0
) -> NDArray[np.uint8]:
    """Scale an upright RGB picture to cover the target and crop it centrally.

    Returns:
        [height, width, 3] uint8 RGB.
    """
    box = cover_box(picture.width, picture.height, width / height / pixel_aspect)
    # The gap lets it average whole blocks first: several times faster where much is shrunk.
    bicubic = Image.Resampling.BICUBIC
    return np.asarray(picture.resize((width, height), bicubic, box=box, reducing_gap=2.0))


def cover_box(width: int, height: int, aspect: float) -> tuple[float, float, float, float]:
    """Return the largest central box of the given aspect as (left, top, right, bottom).

    Cropping before scaling keeps the cost bounded by the source, however extreme its shape.
    """
    box_width, box_height = min(width, height * aspect), min(height, width / aspect)
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, left + box_width, top + box_height
