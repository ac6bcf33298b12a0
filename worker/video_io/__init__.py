"""Video in and out of the worker: hostile files to clips of frames, frames to MP4 and JPEG."""

from worker.video_io.decode import Clip, Segment, read_clip, read_segments
from worker.video_io.encode import EncodeError, Mp4Encoder, encode_mp4
from worker.video_io.isolated import SegmentFile, read_clip_in_child, read_segments_in_child
from worker.video_io.limits import Limits, VideoError, VideoErrorCode
from worker.video_io.probe import VideoInfo, probe
from worker.video_io.stills import SpriteSheet, thumbnail_jpeg

__all__ = [
    "Clip",
    "EncodeError",
    "Limits",
    "Mp4Encoder",
    "Segment",
    "SegmentFile",
    "SpriteSheet",
    "VideoError",
    "VideoErrorCode",
    "VideoInfo",
    "encode_mp4",
    "probe",
    "read_clip",
    "read_clip_in_child",
    "read_segments",
    "read_segments_in_child",
    "thumbnail_jpeg",
]
