"""Still images."""

import io

import numpy as np
from PIL import Image

from worker.video_io import thumbnail_jpeg


def test_a_thumbnail_shows_the_frame() -> None:
    frame = np.full((48, 64, 3), (200, 60, 30), np.uint8)
    image = Image.open(io.BytesIO(thumbnail_jpeg(frame)))
    assert (image.format, image.size) == ("JPEG", (64, 48))
    assert np.abs(np.asarray(image).astype(int) - frame).max() <= 4
