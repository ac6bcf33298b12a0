"""Reads a clip in a child process, so that a hostile file can harm nothing but that child."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worker.video_io.child import segment_file
from worker.video_io.decode import Clip
from worker.video_io.limits import Limits, VideoError, decode_timeout
from worker.video_io.probe import VideoInfo

_START_UP_SECONDS = 10.0  # importing takes 0.3 s; the rest is for a machine that is busy
_STDERR_TAIL = 2000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentFile:
    """A stretch of a video, in seconds from its start, whose frames are in a file.

    The other fields are those of its `Clip`.
    """

    start: float
    end: float
    path: Path
    info: VideoInfo
    repeated_frames: int
    truncated: bool


def read_clip_in_child(
    path: Path,
    *,
    num_frames: int,
    height: int,
    width: int,
    directory: Path,
    limits: Limits | None = None,
) -> Clip:
    """Do what `read_clip` does in a process of its own with limited time and memory.

    The child dies with the calling process and gets none of its environment.

    Args:
        path: the video.
        num_frames: as in `read_clip`.
        height: as in `read_clip`.
        width: as in `read_clip`.
        directory: an existing directory for the frames in transit; nothing stays in it.
        limits: bounds of the input, and of the child.

    Raises:
        VideoError: as `read_clip`; also `decode_crashed` and `decode_out_of_memory`.
    """
    size = {"num_frames": num_frames, "height": height, "width": width}
    with tempfile.TemporaryDirectory(prefix="clip-", dir=directory) as folder:
        (kept,) = _ask_child(path, None, size, Path(folder), limits or Limits())
        frames = np.load(Path(folder) / segment_file(0), allow_pickle=False)
        return Clip(frames, VideoInfo(**kept["info"]), **kept["facts"])


def read_segments_in_child(
    path: Path,
    segment_seconds: float,
    *,
    num_frames: int,
    height: int,
    width: int,
    directory: Path,
    limits: Limits | None = None,
) -> list[SegmentFile]:
    """Do what `read_segments` does in a process of its own, and leave the frames in `directory`.

    Raises:
        VideoError: as `read_segments`; also `decode_crashed` and `decode_out_of_memory`.
    """
    size = {"num_frames": num_frames, "height": height, "width": width}
    found = _ask_child(path, segment_seconds, size, directory, limits or Limits())
    return [
        SegmentFile(
            start=kept["span"][0],
            end=kept["span"][1],
            path=directory / segment_file(at),
            info=VideoInfo(**kept["info"]),
            **kept["facts"],
        )
        for at, kept in enumerate(found)
    ]


def _ask_child(
    path: Path,
    segment_seconds: float | None,
    size: dict[str, int],
    folder: Path,
    limits: Limits,
) -> list[dict[str, Any]]:
    request = {
        "parent": os.getpid(),
        "limits": asdict(limits),
        "folder": str(folder),
        "path": os.path.abspath(path),
        "segment_seconds": segment_seconds,
        "size": size,
    }
    answer = _run_child(request, limits)
    if "error" in answer:
        raise VideoError(**answer["error"])
    segments: list[dict[str, Any]] = answer["segments"]
    return segments


def _run_child(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "worker.video_io.child", json.dumps(request)],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.max_decode_seconds + _START_UP_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise decode_timeout(limits.max_decode_seconds) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")[-_STDERR_TAIL:]
        logger.warning("decoding child ended with status %d: %s", done.returncode, said)
        message = f"the decoder of this video died with status {done.returncode}"
        raise VideoError("decode_crashed", message)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def child_environment() -> dict[str, str]:
    """Return what the child needs to find the same packages, and no keys or addresses."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
