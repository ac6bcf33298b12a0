"""Decode a training clip: frames spread over its whole length, scaled and cropped to the size.

Training data is the trainer's own, so it is decoded in this process; the service decodes what
strangers send in a child of its own.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import av
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def decode_clip(content: bytes, num_frames: int, height: int, width: int) -> Tensor:
    """Return `num_frames` frames (F, H, W, 3) uint8, the first and the last included.

    Args:
        content: a video file.
        num_frames: F.
        height: pixels, reached by scaling until the frame covers the size, then cutting.
        width: pixels.

    Raises:
        ValueError: if the file is no video, or has fewer frames than wanted.
    """
    try:
        with av.open(BytesIO(content), "r") as container:
            if not container.streams.video:
                raise ValueError("has no video stream")
            count = len([True for _ in container.decode(video=0)])
        if count < num_frames:
            raise ValueError(f"has {count} frames; the run takes {num_frames}")
        wanted = np.linspace(0, count - 1, num_frames).round().astype(int)
        with av.open(BytesIO(content), "r") as container:
            chosen = {*wanted.tolist()}
            frames = [
                _fitted(frame.to_ndarray(format="rgb24"), height, width)
                for index, frame in enumerate(container.decode(video=0))
                if index in chosen
            ]
    except av.FFmpegError as error:
        raise ValueError(f"cannot be decoded: {error}") from error
    return torch.from_numpy(np.stack(frames))


def _fitted(frame: np.ndarray[Any, Any], height: int, width: int) -> Pixels:
    image = Image.fromarray(frame)
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC))
