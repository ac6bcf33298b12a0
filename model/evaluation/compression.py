"""Pass clips through H.264, as every input of the server has been."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np

from model.evaluation.checker import Frames


def h264_round_trip(frames: Frames, fps: int, crf: int = 18) -> Frames:
    """Return the clip (F, H, W, 3) uint8 as decoded from an H.264 file in yuv420p."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=fps, options={"crf": str(crf)})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        decoded: list[Any] = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return np.stack(decoded)
