"""Writes frames as an H.264 MP4 that plays everywhere and carries its caption and its origin."""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from contract.subtitles import Cue, vtt

_CRF = "18"
_THREADS = "4"  # fixed: x264's bytes depend on it
#: frames that x264 holds back before it writes; its default of 40 keeps the file waiting at the end
_LOOKAHEAD = "10"
_FINISH_SECONDS = 120.0
_STDERR_TAIL = 2000
_BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
)


class EncodeError(RuntimeError):
    """ffmpeg failed; the message ends with what it said."""


class Mp4Encoder:
    """Encodes frames while they are still being made; the file appears, whole, at `close`.

    Leaving the context without an exception closes, with one aborts. The same frames, caption and
    metadata give the same bytes.
    """

    def __init__(
        self,
        path: Path,
        *,
        num_frames: int,
        fps: float,
        caption: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare to write; ffmpeg starts with the first chunk.

        Args:
            path: the file to make, in an existing directory.
            num_frames: how many frames will come, which says how long the caption lasts.
            fps: frames per second.
            caption: title, description and subtitle of the file; empty for none.
            metadata: written as JSON into the comment.
        """
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._num_frames, self._fps = num_frames, fps
        self._caption, self._metadata = caption, metadata
        self._written = 0
        self._size: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = tempfile.TemporaryFile()

    def write(self, chunk: NDArray[np.uint8]) -> None:
        """Encode one frame [H, W, 3] or several [n, H, W, 3], uint8 RGB.

        Raises:
            ValueError: if shape or dtype differ from that, H or W is odd or changes, or more than
                `num_frames` frames come.
            EncodeError: if ffmpeg has failed.
        """
        frames = chunk[None] if chunk.ndim == 3 else chunk
        self._check(frames)
        if self._process is None:
            self._start(frames.shape[1], frames.shape[2])
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(frames).data)
        except BrokenPipeError as error:
            raise self._failure() from error
        self._written += len(frames)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            ValueError: if fewer than `num_frames` frames were written.
            EncodeError: if ffmpeg has failed.
        """
        if self._written != self._num_frames:
            self.abort()
            raise ValueError(f"{self._written} of {self._num_frames} frames were written")
        assert self._process is not None
        try:
            self._process.communicate(timeout=_FINISH_SECONDS)
        except (subprocess.TimeoutExpired, BrokenPipeError) as error:
            raise self._failure() from error
        if self._process.returncode != 0:
            raise self._failure()
        self._stderr.close()
        os.replace(self._partial, self._path)

    def abort(self) -> None:
        """Stop ffmpeg and remove what it wrote."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._stderr.close()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return the encoder itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, or abort if an exception is on its way."""
        if kind is None:
            self.close()
        else:
            self.abort()

    def _check(self, frames: NDArray[np.uint8]) -> None:
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise ValueError(
                f"frames must be uint8 [n, H, W, 3], got {frames.dtype} {list(frames.shape)}"
            )
        height, width = frames.shape[1:3]
        if height % 2 or width % 2:
            raise ValueError(f"width and height must be even, got {width}x{height}")
        if self._size not in (None, (height, width)):
            raise ValueError(f"a frame of {width}x{height} follows frames of another size")
        if self._written + len(frames) > self._num_frames:
            raise ValueError(f"more than num_frames={self._num_frames} frames were written")
        self._size = (height, width)

    def _start(self, height: int, width: int) -> None:
        self._process = subprocess.Popen(
            self._command(height, width),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )

    def _failure(self) -> EncodeError:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace")[-_STDERR_TAIL:]
        status = self._process.returncode
        self.abort()
        return EncodeError(f"ffmpeg ended with status {status}: {said}")

    def _command(self, height: int, width: int) -> list[str]:
        rate = str(Fraction(self._fps).limit_denominator(1001))
        size = ["-s", f"{width}x{height}", "-r", rate]
        return [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostats", "-loglevel", "error"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", *size, "-i", "pipe:0"),
            *self._subtitle(),
            *("-map", "0:v", "-c:v", "libx264", "-crf", _CRF, "-threads", _THREADS),
            *("-x264-params", f"rc-lookahead={_LOOKAHEAD}"),
            *("-pix_fmt", "yuv420p", "-vf", _BT709),
            *("-metadata", f"title={self._caption}", "-metadata", f"description={self._caption}"),
            *("-metadata", f"comment={json.dumps(self._metadata or {}, sort_keys=True)}"),
            *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"),
            *("-f", "mp4", str(self._partial)),
        ]

    def _subtitle(self) -> list[str]:
        if not self._caption.strip():
            return []
        text = vtt([Cue(0, self._num_frames / self._fps, self._caption)])
        # A data address needs neither a file nor a second pipe.
        address = f"data:text/vtt;base64,{base64.b64encode(text.encode()).decode()}"
        track = ["-map", "1:s", "-c:s", "mov_text", "-metadata:s:s:0", "language=eng"]
        return ["-f", "webvtt", "-i", address, *track]


def encode_mp4(
    frames: Iterable[NDArray[np.uint8]],
    path: Path,
    *,
    num_frames: int,
    fps: float,
    caption: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write all chunks of `frames` with one `Mp4Encoder`.

    Raises:
        ValueError: as `Mp4Encoder`.
        EncodeError: if ffmpeg fails.
    """
    with Mp4Encoder(
        path, num_frames=num_frames, fps=fps, caption=caption, metadata=metadata
    ) as encoder:
        for chunk in frames:
            encoder.write(chunk)
