"""Encodes single frames as images."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_JPEG_QUALITY = 85


def thumbnail_jpeg(frame: NDArray[np.uint8]) -> bytes:
    """Return a frame, [H, W, 3] uint8 RGB, as a JPEG file of the same size."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
