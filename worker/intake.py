"""Fetches the input video of an understand job and turns it into the frames the engine takes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from obstore.exceptions import BaseError

from contract.artifacts import ArtifactStore
from contract.errors import ErrorCode, ErrorInfo
from contract.requests import Capabilities, UnderstandRequest, is_url
from worker.failures import JobFailed, SourceLost, StorageLost
from worker.fetching import FetchError, FetchLimits, fetch
from worker.protocol import FRAMES_FILE
from worker.settings import WorkerSettings
from worker.video_io import (
    Limits,
    SegmentFile,
    VideoError,
    read_clip_in_child,
    read_segments_in_child,
)

_PARAM = "video"
#: what a server that has just failed is given before the job goes back to its queue
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Input:
    """How long the video plays, and what the client should know about its clip."""

    #: 0 for single pictures
    seconds: float
    notes: list[str]
    #: start and end of each segment in seconds, where the video was cut
    spans: list[tuple[float, float]] = field(default_factory=list)


def fetch_clip(
    store: ArtifactStore,
    request: UnderstandRequest,
    workdir: Path,
    capabilities: Capabilities,
    settings: WorkerSettings,
) -> Input:
    """Put the frames of a video into `workdir`: one clip, or one for each segment.

    Args:
        store: holds the video.
        request: which video, and how it is cut.
        workdir: where the frames go.
        capabilities: size and number of frames that the checkpoint takes.
        settings: bounds of the input.

    Returns:
        What there is to say about the video.

    Raises:
        JobFailed: if the video is gone or cannot be read.
        StorageLost: if the store does not answer.
        SourceLost: if the server behind a URL fails, or does not answer.
    """
    path = workdir / "source"
    _obtain(store, request.source, path, settings)
    try:
        found = read_frames(path, request, workdir, capabilities, settings)
    except VideoError as error:
        raise JobFailed(ErrorInfo(code=error.code, message=str(error), param=_PARAM)) from error
    path.unlink()
    return found


def read_frames(
    path: Path,
    request: UnderstandRequest,
    workdir: Path,
    capabilities: Capabilities,
    settings: WorkerSettings,
) -> Input:
    """Do what `fetch_clip` does for a video that is a file on this machine.

    Raises:
        VideoError: if the video cannot be read.
    """
    height, width = capabilities.sizes[0]
    size = {"num_frames": capabilities.default_num_frames, "height": height, "width": width}
    limits = _limits(settings)
    if request.segment_seconds is not None:
        length = request.segment_seconds
        return _of_segments(
            read_segments_in_child(path, length, **size, directory=workdir, limits=limits)
        )
    clip = read_clip_in_child(path, **size, directory=workdir, limits=limits)
    np.save(workdir / FRAMES_FILE, clip.frames)
    return Input(clip.info.duration_seconds, _notes(clip.repeated_frames, clip.truncated))


def _of_segments(segments: list[SegmentFile]) -> Input:
    repeated = max(segment.repeated_frames for segment in segments)
    spans = [(segment.start, segment.end) for segment in segments]
    return Input(segments[-1].end, _notes(repeated, segments[-1].truncated), spans)


def _obtain(store: ArtifactStore, source: str, path: Path, settings: WorkerSettings) -> None:
    if not is_url(source):
        return _download(store, source, path)
    limits = FetchLimits(
        max_bytes=_limits(settings).max_bytes,
        max_seconds=settings.max_fetch_seconds,
        allow_private=settings.allow_private_urls,
    )
    try:
        fetch(source, path, limits)
    except FetchError as error:
        info = ErrorInfo(code=error.code, message=str(error), param="video_url")
        if not error.is_transient:
            raise JobFailed(info) from error
        time.sleep(_PAUSE_SECONDS)
        raise SourceLost(info) from error
    except OSError as error:
        raise StorageLost(f"no room for the video: {error}") from error


def _download(store: ArtifactStore, source: str, path: Path) -> None:
    try:
        store.download(source, path)
    except FileNotFoundError as error:
        message = "the input video is no longer in the artifact store"
        info = ErrorInfo(code=ErrorCode.STORAGE_ERROR, message=message, param=_PARAM)
        raise JobFailed(info) from error
    except (BaseError, OSError) as error:
        raise StorageLost(f"the artifact store gave no file: {error}") from error


def _limits(settings: WorkerSettings) -> Limits:
    return Limits(
        max_pixels=settings.max_video_pixels,
        max_seconds=settings.max_video_seconds,
        max_decode_seconds=settings.max_decode_seconds,
    )


def _notes(repeated_frames: int, truncated: bool) -> list[str]:
    notes = []
    if repeated_frames:
        notes.append(
            f"the video has fewer frames than the model looks at: its last frame was repeated "
            f"{repeated_frames} times"
        )
    if truncated:
        notes.append("the file is truncated: only its readable part was looked at")
    return notes
