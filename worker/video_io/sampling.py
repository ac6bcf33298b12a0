"""Chooses which moments of a video a clip shows, and walks to them decoding no more than needed."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from worker.video_io.container import decode, demux
from worker.video_io.limits import Deadline, Limits
from worker.video_io.probe import PacketIndex

# These find a keyframe by its presentation time; the others land somewhere near it.
_EXACT_SEEK = ("mov", "matroska", "avi")
_SEEK_MARGIN_SECONDS = 1
#: a rest shorter than this share of a segment belongs to the one before
_SHORTEST_REST = 0.1


def sample_times(times: Sequence[int], num_frames: int) -> list[int]:
    """Return the frame times nearest to a uniform grid from the first to the last frame.

    Args:
        times: presentation times of all frames, ascending, not empty.
        num_frames: how many are wanted; a shorter video gives all it has.
    """
    if len(times) <= num_frames:
        return list(times)
    known = np.asarray(times, np.int64)
    grid = np.linspace(known[0], known[-1], num_frames)
    after = np.clip(np.searchsorted(known, grid), 1, len(known) - 1)
    before_is_nearer = grid - known[after - 1] <= known[after] - grid
    return [int(time) for time in known[after - before_is_nearer]]


def segment_spans(total_seconds: float, segment_seconds: float) -> list[tuple[float, float]]:
    """Cut a playing time into segments; the last one may be shorter, or a little longer.

    Args:
        total_seconds: how long the video plays.
        segment_seconds: how long a segment plays, greater than 0.

    Returns:
        Start and end of each segment in seconds, without gaps; at least one.
    """
    count = max(1, ceil(total_seconds / segment_seconds - _SHORTEST_REST))
    starts = [at * segment_seconds for at in range(count)]
    return list(zip(starts, [*starts[1:], total_seconds], strict=True))


def times_within(times: Sequence[int], start: float, end: float) -> Sequence[int]:
    """Return the times of the frames that are shown from `start` on and before `end`.

    Args:
        times: presentation times of all frames, ascending, not empty.
        start: in units of those times; the frame shown at this moment is the first one returned.
        end: in the same units.
    """
    first = max(0, bisect_right(times, start) - 1)
    return times[first : max(first + 1, bisect_left(times, end))]


class FrameReader:
    """Moves forward through a video and jumps to a later keyframe where that saves decoding."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        index: PacketIndex,
        limits: Limits,
        deadline: Deadline,
    ) -> None:
        self._container, self._stream = container, stream
        self._limits, self._deadline = limits, deadline
        self._keyframes = index.keyframes
        exact = container.format.name.startswith(_EXACT_SEEK)
        self._margin = 0 if exact else int(Fraction(_SEEK_MARGIN_SECONDS) / index.time_base)
        self._frames = self._decode()
        self._current: VideoFrame | None = None
        self._ahead: VideoFrame | None = None

    def frame_at(self, time: int) -> VideoFrame | None:
        """Return the frame shown at `time`, which must not decrease from call to call.

        The nearest decodable frame stands in where that one is damaged; None if there is none.
        """
        self._jump(time)
        while self._current is None or _pts(self._current) < time:
            if self._ahead is None:
                self._ahead = next(self._frames, None)
            if self._ahead is None or (self._current is not None and _pts(self._ahead) > time):
                break
            self._current, self._ahead = self._ahead, None
        return self._current

    @property
    def last_time(self) -> int:
        """The time of the latest frame that was returned."""
        assert self._current is not None
        return _pts(self._current)

    def _jump(self, time: int) -> None:
        at = bisect_right(self._keyframes, time) - 1
        if at < 1:
            return
        latest = self._ahead or self._current
        position = self._keyframes[0] if latest is None else _pts(latest)
        landing = self._keyframes[at] - self._margin
        if landing <= position:
            return
        try:
            self._container.seek(landing, stream=self._stream)
        except av.FFmpegError:  # no way to seek: go on frame by frame
            return
        self._frames, self._ahead = self._decode(), None

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in demux(self._container, [self._stream], self._limits, self._deadline):
            yield from decode(packet)


def _pts(frame: VideoFrame) -> int:
    assert frame.pts is not None  # `decode` drops frames without a time
    return frame.pts
