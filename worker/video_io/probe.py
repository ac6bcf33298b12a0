"""Reads what a video is: header facts and packet times. Of the pictures, only the first is decoded,
because the rotation of a recording is attached to its frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from worker.video_io.container import (
    check_duration,
    decode,
    demux,
    header_seconds,
    open_video,
)
from worker.video_io.limits import Deadline, Limits, VideoError


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about its video.

    `width` and `height` are as shown, after `rotation` (degrees counter-clockwise).
    `frame_count` and `duration_seconds` come from the header, or are counted where it has none.
    """

    width: int
    height: int
    rotation: int
    duration_seconds: float
    frame_count: int
    fps: float
    codec: str
    container: str


@dataclass
class PacketIndex:
    """Presentation times found in a file, in units of `time_base` seconds.

    `times` and `keyframes` are those of frames that are shown; `packets` counts the hidden ones
    too; `end_seconds` is the end of the last packet of any stream, counted from the first.
    """

    time_base: Fraction
    times: list[int] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    packets: int = 0
    start_seconds: float = float("inf")
    end_seconds: float = 0.0

    def add(self, packet: Packet[Stream]) -> None:
        """Note the times of one packet of the video stream."""
        time = packet.dts if packet.pts is None else packet.pts
        if time is None:  # the empty packet that ends a stream
            return
        self.packets += 1
        if packet.is_discard:
            return
        self.times.append(time)
        if packet.is_keyframe:
            self.keyframes.append(time)

    def stretch(self, packet: Packet[Stream]) -> None:
        """Extend the covered span by a packet of any stream."""
        time = packet.dts if packet.pts is None else packet.pts
        if time is None or packet.time_base is None:
            return
        self.start_seconds = min(self.start_seconds, float(time * packet.time_base))
        self.end_seconds = max(
            self.end_seconds, float((time + (packet.duration or 0)) * packet.time_base)
        )

    @property
    def span_seconds(self) -> float:
        """Seconds between the first and the last packet of any stream."""
        return max(0.0, self.end_seconds - self.start_seconds)


def probe(path: Path, limits: Limits | None = None) -> VideoInfo:
    """Describe a video file.

    Raises:
        VideoError: if the file is no video that the limits allow.
    """
    limits = limits or Limits()
    info, _ = survey(path, limits, Deadline(limits), whole=False)
    return info


def survey(
    path: Path, limits: Limits, deadline: Deadline, *, whole: bool
) -> tuple[VideoInfo, PacketIndex]:
    """Describe a video and index its packets, all of them if `whole` or if the header has no count.

    Raises:
        VideoError: as `probe`.
    """
    with open_video(path, limits) as (container, stream):
        assert stream.time_base is not None
        index = PacketIndex(stream.time_base)
        whole = whole or not (stream.frames and _stream_seconds(container, stream))
        rotation = None
        for packet in demux(container, list(container.streams), limits, deadline):
            index.stretch(packet)
            if packet.stream is stream:
                index.add(packet)
                if rotation is None:
                    rotation = next((frame.rotation for frame in decode(packet)), None)
            if rotation is not None and not whole:
                break
        check_duration(index.span_seconds, limits)
        if not index.times:
            raise VideoError("empty_video", "the video stream has 0 frames")
        if rotation is None:
            message = f"none of the {index.packets} frames of the file can be decoded"
            raise VideoError("invalid_video", message)
        index.times.sort()
        index.keyframes.sort()
        return _describe(container, stream, rotation, index), index


def _describe(
    container: InputContainer, stream: VideoStream, rotation: int, index: PacketIndex
) -> VideoInfo:
    context = stream.codec_context
    turned = round(rotation / 90) % 2 == 1
    seconds = _stream_seconds(container, stream) or index.span_seconds
    count = stream.frames or index.packets
    return VideoInfo(
        width=context.height if turned else context.width,
        height=context.width if turned else context.height,
        rotation=rotation,
        duration_seconds=seconds,
        frame_count=count,
        fps=float(stream.average_rate or 0) or (count / seconds if seconds else 0.0),
        codec=context.name,
        container=container.format.name,
    )


def _stream_seconds(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return header_seconds(container)
