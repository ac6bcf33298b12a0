"""Encodes frames as images: one alone, or some of a video side by side."""

import io
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_JPEG_QUALITY = 85
#: of a sprite sheet
MAX_TILES = 16
COLUMNS = 4
_MAX_TILE_WIDTH = 160


def thumbnail_jpeg(frame: NDArray[np.uint8]) -> bytes:
    """Return a frame, [H, W, 3] uint8 RGB, as a JPEG file of the same size."""
    return _jpeg(Image.fromarray(frame))


class SpriteSheet:
    """A picture of up to `MAX_TILES` frames of a video, row by row, `COLUMNS` to a row.

    They lie at equal distances in time, the first and the last frame among them. A tile is as large
    as a frame, but at most 160 pixels wide.

    Args:
        num_frames: how many frames will be added.
    """

    def __init__(self, num_frames: int) -> None:
        count = min(num_frames, MAX_TILES)
        self._wanted = {round(at) for at in np.linspace(0, num_frames - 1, count)}
        self._added = 0
        self._tiles: list[Image.Image] = []

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Look at the next frames of the video, [F, H, W, 3] uint8 RGB."""
        for frame in frames:
            if self._added in self._wanted:
                height, width = frame.shape[:2]
                shown = min(width, _MAX_TILE_WIDTH)
                size = (shown, max(1, round(height * shown / width)))
                self._tiles.append(Image.fromarray(frame).resize(size, Image.Resampling.BOX))
            self._added += 1

    def jpeg(self) -> bytes:
        """Return the sheet as a JPEG file."""
        width, height = self._tiles[0].size
        columns = min(COLUMNS, len(self._tiles))
        sheet = Image.new("RGB", (columns * width, ceil(len(self._tiles) / columns) * height))
        for at, tile in enumerate(self._tiles):
            sheet.paste(tile, (at % columns * width, at // columns * height))
        return _jpeg(sheet)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
