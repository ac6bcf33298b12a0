"""Fetches the input video of an understand job and turns it into the frames the engine takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from obstore.exceptions import BaseError

from contract.artifacts import ArtifactStore
from contract.errors import ErrorCode, ErrorInfo
from contract.requests import Capabilities
from worker.failures import JobFailed, StorageLost
from worker.protocol import FRAMES_FILE
from worker.settings import WorkerSettings
from worker.video_io import Clip, Limits, VideoError, read_clip_in_child

_PARAM = "video"


@dataclass(frozen=True)
class Input:
    """How long the video plays, and what the client should know about its clip."""

    seconds: float
    notes: list[str]


def fetch_clip(
    store: ArtifactStore,
    source: str,
    workdir: Path,
    capabilities: Capabilities,
    settings: WorkerSettings,
) -> Input:
    """Put the frames of a stored video into `workdir`.

    Args:
        store: holds the video.
        source: its key.
        workdir: where the frames go.
        capabilities: size and number of frames that the checkpoint takes.
        settings: bounds of the input.

    Returns:
        What there is to say about the video.

    Raises:
        JobFailed: if the video is gone or cannot be read.
        StorageLost: if the store does not answer.
    """
    path = workdir / "source"
    _download(store, source, path)
    height, width = capabilities.sizes[0]
    try:
        clip = read_clip_in_child(
            path,
            num_frames=capabilities.default_num_frames,
            height=height,
            width=width,
            directory=workdir,
            limits=_limits(settings),
        )
    except VideoError as error:
        raise JobFailed(ErrorInfo(code=error.code, message=str(error), param=_PARAM)) from error
    path.unlink()
    np.save(workdir / FRAMES_FILE, clip.frames)
    return Input(clip.info.duration_seconds, _notes(clip))


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


def _notes(clip: Clip) -> list[str]:
    notes = []
    if clip.repeated_frames:
        notes.append(
            f"the video has fewer frames than the model looks at: its last frame was repeated "
            f"{clip.repeated_frames} times"
        )
    if clip.truncated:
        notes.append("the file is truncated: only its readable part was looked at")
    return notes
