"""Pass clips through H.264, as every input of the server has been."""

from __future__ import annotations

import io
from typing import Any

import av

from model.evaluation.checker import Frames
from model.training.clip_file import decode_clip


def h264_file(frames: Frames, fps: int, crf: int = 18) -> bytes:
    """Return an MP4 file of a clip (F, H, W, 3) uint8, H.264 in yuv420p."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=fps, options={"crf": str(crf)})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def h264_round_trip(frames: Frames, fps: int, side: int | None = None) -> Frames:
    """Return a square clip as decoded from its H.264 file, scaled to `side` pixels if given."""
    side = side or frames.shape[1]
    clip: Frames = decode_clip(h264_file(frames, fps), len(frames), side, side).numpy()
    return clip
