"""Opens a video file so that nothing but that file is read and no oversized frame is allocated."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from worker.video_io.limits import Deadline, Limits, VideoError, decode_timeout

# Playlists (hls, dash, concat) are left out on purpose: they name other files and addresses.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg"
_DECODE_THREADS = 4  # bounds memory and address space on machines with many cores


@contextmanager
def open_video(path: Path, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the first real video stream of a file after checking file and header.

    Raises:
        VideoError: if the file is unreadable, too large, no video, or its header is over a limit.
    """
    _check_file(path, limits)
    with _open(path, limits) as container:
        stream = _video_stream(container)
        _check_header(container, stream, limits)
        context = stream.codec_context
        context.options = {"max_pixels": str(limits.max_pixels)}
        context.thread_type = "AUTO"
        context.thread_count = _DECODE_THREADS
        yield container, stream


def demux(
    container: InputContainer, streams: list[Stream], limits: Limits, deadline: Deadline
) -> Iterator[Packet[Stream]]:
    """Yield the packets of `streams`; a damaged rest of the file ends it quietly.

    Raises:
        VideoError: `decode_timeout` when the deadline passes.
    """
    try:
        for packet in container.demux(*streams):
            deadline.check()
            yield packet
    except av.error.ExitError as error:
        raise decode_timeout(limits.max_decode_seconds) from error
    except MemoryError:  # av's own is an FFmpegError too
        raise
    except av.FFmpegError:
        return


def decode(packet: Packet[Stream]) -> list[VideoFrame]:
    """Return the timed frames a packet completes: none where the data are damaged."""
    try:
        frames = packet.decode()
    except MemoryError:
        raise
    except av.FFmpegError:
        return []
    return [f for f in frames if isinstance(f, VideoFrame) and f.pts is not None]


def _check_file(path: Path, limits: Limits) -> None:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for a writer
            raise VideoError("unreadable_file", f"{path.name} is not a regular file")
        path.open("rb").close()
    except OSError as error:
        raise VideoError("unreadable_file", f"cannot read {path.name}: {error.strerror}") from error
    size = facts.st_size
    if size == 0:
        raise VideoError("empty_video", "the file has 0 bytes")
    if size > limits.max_bytes:
        message = f"the file has {size} bytes, the limit is {limits.max_bytes}"
        raise VideoError("file_too_large", message)


def _open(path: Path, limits: Limits) -> InputContainer:
    options = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file",
        "max_pixels": str(limits.max_pixels),
    }
    try:
        # An absolute path is never taken for an address with a protocol.
        return av.open(os.path.abspath(path), options=options, timeout=limits.max_decode_seconds)
    except av.error.ExitError as error:
        raise decode_timeout(limits.max_decode_seconds) from error
    except av.error.ArgumentError as error:
        message = f"the container format is not one of {DEMUXERS}"
        raise VideoError("unsupported_format", message) from error
    except av.FFmpegError as error:
        message = f"the file is not a readable video: {error.strerror}"
        raise VideoError("invalid_video", message) from error


def _video_stream(container: InputContainer) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(s.type for s in container.streams) or "none"
        raise VideoError("no_video_stream", f"the file has no video stream (streams: {kinds})")
    if streams[0].codec_context is None:
        raise VideoError("unsupported_format", "there is no decoder for the video stream")
    return streams[0]


def _check_header(container: InputContainer, stream: VideoStream, limits: Limits) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        raise VideoError(
            "video_too_large",
            f"a frame has {width}x{height} = {width * height} pixels, "
            f"the limit is {limits.max_pixels}",
        )
    check_duration(header_seconds(container), limits)


def check_duration(seconds: float, limits: Limits) -> None:
    """Raise VideoError `video_too_long` for a playing time over the limit."""
    if seconds > limits.max_seconds:
        message = f"the video lasts {seconds:.1f} s, the limit is {limits.max_seconds:g} s"
        raise VideoError("video_too_long", message)


def header_seconds(container: InputContainer) -> float:
    """Return the playing time the header states, 0 where it states none."""
    return (container.duration or 0) / av.time_base
