"""Turns a video file into the clip a model looks at: a fixed number of frames of a fixed size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.video_io.container import header_seconds, open_video
from worker.video_io.geometry import fit
from worker.video_io.limits import Deadline, Limits, VideoError
from worker.video_io.probe import PacketIndex, VideoInfo, survey
from worker.video_io.sampling import FrameReader, sample_times

_WHOLE_SHARE = 0.9  # less than this of what the header promises is called truncated


@dataclass(frozen=True)
class Clip:
    """Frames sampled from a video and what there is to say about them.

    `frames` is [F, H, W, 3] uint8 RGB; the last `repeated_frames` of them repeat the last frame of
    a video that is shorter; `truncated` says that much of what the header promises is missing.
    """

    frames: NDArray[np.uint8]
    info: VideoInfo
    repeated_frames: int
    truncated: bool


def read_clip(
    path: Path, *, num_frames: int, height: int, width: int, limits: Limits | None = None
) -> Clip:
    """Sample `num_frames` uniformly in time over the whole video, first and last frame included.

    Each frame is turned upright, scaled to cover `height` x `width` pixels and cropped centrally.

    Raises:
        VideoError: if the file is no video that the limits allow, or nothing of it decodes.
    """
    limits = limits or Limits()
    deadline = Deadline(limits)
    info, index = survey(path, limits, deadline, whole=True)
    times = sample_times(index.times, num_frames)
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    with open_video(path, limits) as (container, stream):
        reader = FrameReader(container, stream, index, limits, deadline)
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
        for position, time in enumerate(times):
            frame = reader.frame_at(time)
            if frame is None:
                raise VideoError("invalid_video", "no frame of the file can be decoded")
            frames[position] = fit(frame, height, width, pixel_aspect)
        promised_seconds = header_seconds(container)
    frames[len(times) :] = frames[len(times) - 1]
    truncated = _is_truncated(index, info.frame_count, promised_seconds, reader.last_time)
    return Clip(frames, info, num_frames - len(times), truncated)


def _is_truncated(
    index: PacketIndex, promised_frames: int, promised_seconds: float, last_time: int
) -> bool:
    undecodable = sum(time > last_time for time in index.times)
    return (
        index.packets - undecodable < _WHOLE_SHARE * promised_frames
        or index.span_seconds < _WHOLE_SHARE * promised_seconds
    )
