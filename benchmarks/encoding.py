"""From the last frame to the finished file, against diffusers' `export_to_video` of all frames.

The encoder has had the other frames while they were made, in the decoder's chunks; here they come
as fast as it takes them, which leaves it no pause to catch up in.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import av
import numpy as np
from diffusers.utils import export_to_video

from benchmarks.paired import Row, interleave, timed
from model.parts import Frames
from worker.video_io.encode import Mp4Encoder

HEIGHT, WIDTH, NUM_FRAMES, FPS, PAIRS = 480, 832, 81, 16, 5
CHUNK = 4


def moving_waves(num_frames: int, height: int, width: int) -> Frames:
    """Return uint8 frames (F, H, W, 3) with motion in several directions and a little grain."""
    grain = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for t in range(num_frames):
        red = np.sin((x + 3 * t) / 17) + np.cos((y - 2 * t) / 9) / 4
        green = np.cos((x - 2 * t) / 23 + y / 31)
        blue = np.sin((x + y + 5 * t) / 41)
        waves = 128 + 80 * np.stack((red, green, blue), -1)
        frames[t] = (waves + grain.normal(0, 2, waves.shape)).clip(0, 255)
    return frames


class Files:
    """The same frames as a file, either way.

    Args:
        folder: where the files go.
        frames: uint8 (F, H, W, 3).
    """

    def __init__(self, folder: Path, frames: Frames) -> None:
        self._ours, self._theirs = folder / "ours.mp4", folder / "theirs.mp4"
        self._frames = frames
        self._floats = list(frames.astype(np.float32) / 255)  # what diffusers' pipelines return

    def ours(self) -> float:
        """Stream all frames and return the seconds from the last one to the file."""
        with Mp4Encoder(self._ours, num_frames=len(self._frames), fps=FPS) as encoder:
            for start in range(-CHUNK + 1, len(self._frames), CHUNK):
                encoder.write(self._frames[max(start, 0) : start + CHUNK])
            started = time.perf_counter()
        return time.perf_counter() - started

    def theirs(self) -> None:
        """Write the file by diffusers."""
        export_to_video(self._floats, str(self._theirs), fps=FPS)

    def check(self) -> None:
        """Assert that both files show all frames, near enough to the originals."""
        self.ours()
        self.theirs()
        for path in (self._ours, self._theirs):
            with av.open(path) as container:
                shown = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
            assert shown.shape == self._frames.shape, f"{path.name} has {shown.shape}"
            off = np.abs(shown.astype(np.int16) - self._frames).mean()
            assert off < 8, f"{path.name} is {off:.1f} levels off"


def run() -> list[Row]:
    """Measure a 5-second clip at 480p."""
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder), moving_waves(NUM_FRAMES, HEIGHT, WIDTH))
        files.check()
        pairs = interleave(files.ours, timed(files.theirs), PAIRS)
    return [
        Row(
            "file after the last frame: ours / diffusers' whole export",
            pairs.ratio,
            limit=0.5,
            sense="max",
            detail=pairs.describe("ours", "diffusers"),
        )
    ]
