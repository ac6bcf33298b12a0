"""What the worker accepts as an input video, and the one way in which it refuses one."""

import time
from dataclasses import dataclass
from typing import Literal

VideoErrorCode = Literal[
    "unreadable_file",
    "file_too_large",
    "invalid_image",
    "invalid_video",
    "unsupported_format",
    "no_video_stream",
    "empty_video",
    "video_too_large",
    "video_too_long",
    "too_many_segments",
    "decode_timeout",
    "decode_out_of_memory",
    "decode_crashed",
]


class VideoError(Exception):
    """A video that cannot be read; `code` is stable, the message names value and limit."""

    def __init__(self, code: VideoErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: VideoErrorCode = code


@dataclass(frozen=True)
class Limits:
    """Bounds that every input video has to keep.

    `max_pixels` counts one frame; `max_seconds` is playing time; `max_decode_seconds` is the wall
    time of one reading; `max_memory_bytes` is the address space of a decoding child;
    `max_segments` is how many clips one video may be cut into.
    """

    max_bytes: int = 512 * 2**20
    max_pixels: int = 4096 * 2304
    max_seconds: float = 600.0
    max_decode_seconds: float = 60.0
    max_memory_bytes: int = 4 * 2**30
    max_segments: int = 120


class Deadline:
    """The moment at which one reading of a video has taken too long."""

    def __init__(self, limits: Limits) -> None:
        self._seconds = limits.max_decode_seconds
        self._end = time.monotonic() + self._seconds

    def check(self) -> None:
        """Raise VideoError `decode_timeout` once the time is over."""
        if time.monotonic() > self._end:
            raise decode_timeout(self._seconds)


def decode_timeout(seconds: float) -> VideoError:
    """Build the error of a reading that took longer than `seconds`."""
    return VideoError("decode_timeout", f"decoding took longer than the limit of {seconds:g} s")
