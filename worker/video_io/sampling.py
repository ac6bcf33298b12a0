"""Chooses which moments of a video a clip shows, and walks to them decoding no more than needed."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction

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
