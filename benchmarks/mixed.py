"""Captions that arrive while a video is made, in the real engine with the shipped checkpoint.

Each is sent when the video has just begun a step, the worst moment: it has to wait for all of it.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.dispatch import open_run, start_engine
from benchmarks.paired import Row
from contract.requests import GenerateRequest, JobRequest, UnderstandRequest
from worker.protocol import (
    FRAMES_FILE,
    MAX_MESSAGE,
    Done,
    Progress,
    Start,
    decode_reply,
    new_socket,
)
from worker.settings import WorkerSettings

SIDE, NUM_FRAMES, STEPS, CAPTION_STEPS, ROUNDS = 64, 17, 24, 4, 15
#: captions come after these steps of the video
ARRIVALS = (2, 8, 14, 20)
_PATIENCE_SECONDS = 120.0


class Engine:
    """A warm engine and the folder that its jobs write to."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._jobs = 0

    @contextmanager
    def video(self) -> Iterator[Job]:
        """Begin a video."""
        request = GenerateRequest(
            prompt="a red circle moving left",
            seed=0,
            height=SIDE,
            width=SIDE,
            num_frames=NUM_FRAMES,
            fps=8,
            num_inference_steps=STEPS,
            guidance_scale=2.5,
        )
        with self._begin(request) as job:
            yield job

    @contextmanager
    def caption(self) -> Iterator[Job]:
        """Begin a caption of a clip that the engine has never seen."""
        frames = np.random.default_rng(self._jobs).integers(
            256, size=(NUM_FRAMES, SIDE, SIDE, 3), dtype=np.uint8
        )
        request = UnderstandRequest(source="", seed=0, num_inference_steps=CAPTION_STEPS)
        with self._begin(request, frames) as job:
            yield job

    @contextmanager
    def _begin(self, request: JobRequest, frames: NDArray[np.uint8] | None = None) -> Iterator[Job]:
        self._jobs += 1
        workdir = self._folder / str(self._jobs)
        workdir.mkdir()
        if frames is not None:
            np.save(workdir / FRAMES_FILE, frames)
        with new_socket() as connection:
            connection.settimeout(_PATIENCE_SECONDS)
            connection.connect(str(self._path))
            sent = time.perf_counter()
            start = Start(id=str(self._jobs), attempt=1, request=request, workdir=workdir)
            connection.send(start.encode())
            yield Job(connection, sent)


@dataclass
class Job:
    """A job in the engine."""

    connection: socket.socket
    sent: float

    def steps(self) -> Iterator[float]:
        """Yield when each denoising step was done."""
        while True:
            reply = decode_reply(self.connection.recv(MAX_MESSAGE))
            now = time.perf_counter()
            if isinstance(reply, Done):
                return
            assert isinstance(reply, Progress), f"the engine said {reply}"
            if reply.phase == "denoise":
                yield now


@dataclass(frozen=True)
class Round:
    """A video alone, captions alone, and the video with such captions on its way; in seconds."""

    #: of the video's steps when nothing else runs
    step: float
    video: float
    #: of as many captions, one after the other
    captions: float
    #: from sending a caption alone to its first step
    first: float
    #: the same beside the video
    firsts: list[float]
    #: of the video beside the captions
    beside: float

    @property
    def wait(self) -> float:
        """How long a caption waited, in steps of the video."""
        return (median(self.firsts) - self.first) / self.step

    @property
    def slowing(self) -> float:
        """The video's time beside the captions over its own and theirs."""
        return self.beside / (self.video + self.captions)


def measure(engine: Engine) -> Round:
    """Return the figures of one round."""
    with engine.video() as video:
        times = list(video.steps())
        own = time.perf_counter() - video.sent
    alone = [_caption_times(engine) for _ in ARRIVALS]
    firsts = []
    with engine.video() as video:
        for number, _ in enumerate(video.steps()):
            if number in ARRIVALS:
                firsts.append(_caption_times(engine)[0])
        seconds = time.perf_counter() - video.sent
    step = median(after - before for before, after in pairwise(times))
    captions, first = sum(last for _, last in alone), median(first for first, _ in alone)
    return Round(step, own, captions, first, firsts, seconds)


def _caption_times(engine: Engine) -> tuple[float, float]:
    """Return the seconds from sending a caption to its first step, and to its last."""
    with engine.caption() as caption:
        first, *_, last = (at - caption.sent for at in caption.steps())
    return first, last


@contextmanager
def warm_engine() -> Iterator[Engine]:
    """Start the engine that a worker has, with one thread and no memory of earlier clips."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = WorkerSettings(
            data_dir=folder, device="cpu", num_threads=1, cache_bytes=0, log_level="WARNING"
        )
        run = open_run(stack, settings)
        start_engine(stack, run, "worker.engine")
        yield Engine(run.socket_path, folder)


def run() -> list[Row]:
    """Measure what a caption waits, and what it costs the video."""
    with warm_engine() as engine:
        measure(engine)
        rounds = [measure(engine) for _ in range(ROUNDS)]
    step = 1000 * median(each.step for each in rounds)
    return [
        Row(
            "caption beside a video: its wait in steps of the video",
            median(each.wait for each in rounds),
            limit=1.2,
            sense="max",
            detail=f"a step {step:.3g} ms, {ROUNDS} x {len(ARRIVALS)} captions at its beginning",
        ),
        Row(
            "video beside captions: its time / its own and theirs",
            median(each.slowing for each in rounds),
            limit=1.01,
            sense="max",
            detail=f"video {median(each.video for each in rounds):.2f} s, beside "
            f"{len(ARRIVALS)} captions {median(each.beside for each in rounds):.2f} s",
        ),
    ]
