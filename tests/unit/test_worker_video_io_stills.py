"""Still images."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from worker.video_io import SpriteSheet, thumbnail_jpeg


def levels_of(sheet: Image.Image, columns: int, rows: int) -> list[int]:
    """Return the mean grey of each tile."""
    grey = np.asarray(sheet.convert("L"), float)
    height, width = grey.shape[0] // rows, grey.shape[1] // columns
    tiles = grey.reshape(rows, height, columns, width).mean((1, 3))
    return [round(level) for level in tiles.ravel()]


def grey_frames(count: int, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    levels = np.arange(count, dtype=np.uint8) * 4 + 20
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def test_a_thumbnail_shows_the_frame() -> None:
    frame = np.full((48, 64, 3), (200, 60, 30), np.uint8)
    image = Image.open(io.BytesIO(thumbnail_jpeg(frame)))
    assert (image.format, image.size) == ("JPEG", (64, 48))
    assert np.abs(np.asarray(image).astype(int) - frame).max() <= 4


def test_a_sprite_sheet_shows_frames_at_equal_distances() -> None:
    sheet = SpriteSheet(31)
    for chunk in np.array_split(grey_frames(31), 5):
        sheet.add(chunk)
    image = Image.open(io.BytesIO(sheet.jpeg()))
    assert image.size == (4 * 48, 4 * 32)
    expected = [20 + 4 * at for at in range(0, 31, 2)]
    assert levels_of(image, 4, 4) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (5, 4, 2)])
def test_a_short_video_fills_a_smaller_sheet(count: int, columns: int, rows: int) -> None:
    sheet = SpriteSheet(count)
    sheet.add(grey_frames(count))
    image = Image.open(io.BytesIO(sheet.jpeg()))
    assert image.size == (columns * 48, rows * 32)
    assert levels_of(image, columns, rows)[count - 1] == pytest.approx(16 + 4 * count, abs=1)


def test_tiles_of_a_large_video_are_small() -> None:
    sheet = SpriteSheet(1)
    sheet.add(grey_frames(1, 480, 832))
    assert Image.open(io.BytesIO(sheet.jpeg())).size == (160, 92)
