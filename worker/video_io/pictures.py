"""Reads a clip that comes as single pictures: the files of an uncompressed ZIP, in their order."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from worker.video_io.decode import Clip
from worker.video_io.geometry import fit_picture
from worker.video_io.limits import Deadline, Limits, VideoError
from worker.video_io.probe import VideoInfo
from worker.video_io.sampling import sample_times

_MAGIC = b"PK\x03\x04"
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def are_pictures(path: Path) -> bool:
    """Return whether a file holds pictures rather than a video."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_pictures(
    path: Path, *, num_frames: int, height: int, width: int, limits: Limits | None = None
) -> Clip:
    """Do what `read_clip` does with pictures for frames; they have no times.

    Raises:
        VideoError: if it is no ZIP of pictures that the limits allow.
    """
    limits = limits or Limits()
    deadline = Deadline(limits)
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise VideoError("invalid_image", "the ZIP is compressed; allowed: stored files")
            if not entries:
                raise VideoError("empty_video", "there are 0 pictures")
            chosen = sample_times(range(len(entries)), num_frames)
            for position, at in enumerate(chosen):
                deadline.check()
                picture = _open(archive.read(entries[at]), at, limits)
                frames[position] = fit_picture(picture, height, width)
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:  # the last: it is encrypted
        raise VideoError("invalid_image", f"the pictures cannot be read: {error}") from error
    frames[len(chosen) :] = frames[len(chosen) - 1]
    info = VideoInfo(
        width=picture.width,
        height=picture.height,
        rotation=0,
        duration_seconds=0.0,
        frame_count=len(entries),
        fps=0.0,
        codec="pictures",
        container="zip",
    )
    return Clip(frames, info, num_frames - len(chosen), truncated=False)


def _open(data: bytes, at: int, limits: Limits) -> Image.Image:
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as picture:
            pixels = picture.width * picture.height
            if pixels > limits.max_pixels:
                message = f"picture {at} has {pixels} pixels, the limit is {limits.max_pixels}"
                raise VideoError("video_too_large", message)
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        message = f"picture {at} cannot be read; allowed: {', '.join(_FORMATS)}"
        raise VideoError("invalid_image", message) from error
