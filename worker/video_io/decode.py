"""Turns a video file into clips a model looks at: a fixed number of frames of a fixed size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.video_io.container import header_seconds, open_video
from worker.video_io.geometry import fit
from worker.video_io.limits import Deadline, Limits, VideoError
from worker.video_io.probe import PacketIndex, VideoInfo, survey
from worker.video_io.sampling import FrameReader, sample_times, segment_spans, times_within

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


@dataclass(frozen=True)
class Segment:
    """A stretch of a video, in seconds from its start, and its clip.

    Only of the last segment does `clip.truncated` say something.
    """

    start: float
    end: float
    clip: Clip


def read_clip(
    path: Path, *, num_frames: int, height: int, width: int, limits: Limits | None = None
) -> Clip:
    """Sample `num_frames` uniformly in time over the whole video, first and last frame included.

    Each frame is turned upright, scaled to cover `height` x `width` pixels and cropped centrally.

    Raises:
        VideoError: if the file is no video that the limits allow, or nothing of it decodes.
    """
    with _walk(path, limits or Limits()) as walk:
        times = sample_times(walk.index.times, num_frames)
        frames = walk.frames(times, (num_frames, height, width, 3))
        return Clip(frames, walk.info, num_frames - len(times), walk.is_truncated())


def read_segments(
    path: Path,
    segment_seconds: float,
    *,
    num_frames: int,
    height: int,
    width: int,
    limits: Limits | None = None,
) -> Iterator[Segment]:
    """Yield the clip of each segment of a video, each sampled like a video of its own.

    Raises:
        VideoError: as `read_clip`; also if there are more segments than the limits allow.
    """
    limits = limits or Limits()
    with _walk(path, limits) as walk:
        # of a truncated file the header promises more than there is
        seconds = min(walk.info.duration_seconds, walk.index.span_seconds)
        spans = segment_spans(seconds, segment_seconds)
        _check_count(len(spans), seconds, segment_seconds, limits)
        for start, end in spans:
            times = sample_times(walk.times_within(start, end), num_frames)
            frames = walk.frames(times, (num_frames, height, width, 3))
            is_truncated = end == spans[-1][1] and walk.is_truncated()
            clip = Clip(frames, walk.info, num_frames - len(times), is_truncated)
            yield Segment(start, end, clip)


@dataclass(frozen=True)
class _Walk:
    """One way through a video, from its first frame to its last."""

    info: VideoInfo
    index: PacketIndex
    reader: FrameReader
    pixel_aspect: float
    promised_seconds: float

    def times_within(self, start: float, end: float) -> Sequence[int]:
        first, base = self.index.times[0], self.index.time_base
        return times_within(self.index.times, first + start / base, first + end / base)

    def frames(self, times: Sequence[int], shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        frames = np.empty(shape, np.uint8)
        for position, time in enumerate(times):
            frame = self.reader.frame_at(time)
            if frame is None:
                raise VideoError("invalid_video", "no frame of the file can be decoded")
            frames[position] = fit(frame, shape[1], shape[2], self.pixel_aspect)
        frames[len(times) :] = frames[len(times) - 1]
        return frames

    def is_truncated(self) -> bool:
        undecodable = sum(time > self.reader.last_time for time in self.index.times)
        return (
            self.index.packets - undecodable < _WHOLE_SHARE * self.info.frame_count
            or self.index.span_seconds < _WHOLE_SHARE * self.promised_seconds
        )


def _check_count(count: int, seconds: float, segment_seconds: float, limits: Limits) -> None:
    if count > limits.max_segments:
        message = (
            f"{seconds:.1f} s in segments of {segment_seconds:g} s are {count} segments, the limit "
            f"is {limits.max_segments}: segment_seconds must be at least "
            f"{ceil(seconds / limits.max_segments)}"
        )
        raise VideoError("too_many_segments", message)


@contextmanager
def _walk(path: Path, limits: Limits) -> Iterator[_Walk]:
    deadline = Deadline(limits)
    info, index = survey(path, limits, deadline, whole=True)
    with open_video(path, limits) as (container, stream):
        reader = FrameReader(container, stream, index, limits, deadline)
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
        yield _Walk(info, index, reader, pixel_aspect, header_seconds(container))
