"""Makes the input videos of the tests at run time, with frames that say which number they are."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

_STEP = 4  # grey levels between one frame and the next: survives any lossy codec
_FIRST = 10


def ffmpeg(*arguments: str, stdin: bytes = b"") -> None:
    """Run ffmpeg and fail loudly."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostats", "-loglevel", "error", *arguments]
    subprocess.run(command, input=stdin, check=True, timeout=60)


def numbered_frames(count: int, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    """Return grey frames [count, height, width, 3]; at most 60, so that all differ."""
    levels = np.arange(count, dtype=np.uint8) * _STEP + _FIRST
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def numbers_of(frames: NDArray[np.uint8]) -> list[int]:
    """Return the numbers that `numbered_frames` gave to these frames."""
    # 10-bit input comes back up to two levels darker, hence the one.
    return [round((float(frame.mean()) - _FIRST + 1) / _STEP) for frame in frames]


def numbered_video(path: Path, *options: str, count: int = 60, fps: int = 30) -> Path:
    """Write `numbered_frames` as a video; the options choose codec and everything else."""
    return video_of(numbered_frames(count), path, *options, fps=fps)


def video_of(frames: NDArray[np.uint8], path: Path, *options: str, fps: int) -> Path:
    """Write frames [count, height, width, 3] as a video."""
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(fps), "-i", "pipe:0"]
    ffmpeg(*source, *(options or ("-pix_fmt", "yuv420p")), str(path), stdin=frames.tobytes())
    return path


def moving_pattern(path: Path, size: str, seconds: float, fps: int, *options: str) -> Path:
    """Write ffmpeg's moving test picture."""
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r={fps}:d={seconds}", *options, str(path))
    return path


def nearest_on_grid(times: Sequence[float], num_frames: int) -> list[int]:
    """Return, written out plainly, which frames a uniform grid over these times should show."""
    step = (times[-1] - times[0]) / (num_frames - 1)
    moments = [times[0] + step * i for i in range(num_frames)]
    return [min(range(len(times)), key=lambda i: abs(times[i] - moment)) for moment in moments]
