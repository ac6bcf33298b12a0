"""The two kinds of job as generators: one step of work between two messages to the slot.

Between any two messages another job may run; closing a generator stops its job and its encoder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.requests import Approximation, GenerateRequest, UnderstandRequest
from model import Step, UniViGUPipeline
from model.feature_cache import FeatureCache
from worker.engine.approximations import of_caption, of_video
from worker.engine.device import peak_memory
from worker.engine.running import Steps
from worker.engine.sharing import SharedStep
from worker.protocol import (
    FRAMES_FILE,
    SEGMENT_FILES,
    SPRITESHEET_FILE,
    THUMBNAIL_FILE,
    VIDEO_FILE,
    Done,
    Preview,
    Progress,
)
from worker.video_io import Mp4Encoder, SpriteSheet, thumbnail_jpeg

T = TypeVar("T")
_Seconds = defaultdict[str, float]


def run_generate(
    pipeline: UniViGUPipeline, checkpoint: str, request: GenerateRequest, workdir: Path
) -> Steps:
    """Make a video, and in `joint` mode its caption, in `workdir`.

    Args:
        pipeline: the model.
        checkpoint: its name, for the metadata of the file.
        request: what to make.
        workdir: where the video and its thumbnail go.
    """
    seconds: _Seconds = defaultdict(float)
    threshold = request.feature_cache_threshold
    features = None if threshold is None else FeatureCache(threshold)
    last, draft = yield from _denoise(pipeline, request, features, workdir, seconds)
    assert last.latents is not None
    text = _caption(pipeline, last) if request.mode == "joint" else None
    drafted = None if draft is None else _caption(pipeline, draft)
    with _encoder(checkpoint, request, text, workdir) as encoder:
        chunks = pipeline.decode_latents(last.latents)
        yield from _encode(chunks, encoder, request, workdir, seconds)
        closing = perf_counter()  # on the way out the encoder writes its last frames
    seconds["encode"] += perf_counter() - closing
    final = _done(text, request.seed, seconds, of_video(pipeline, features))
    yield final.model_copy(update={"draft": drafted})


def run_understand(pipeline: UniViGUPipeline, request: UnderstandRequest, workdir: Path) -> Steps:
    """Caption the frames in `workdir`, or answer the instruction about them.

    Where the video was cut into segments, each gets a text of its own, from the same seed.
    """
    seconds: _Seconds = defaultdict(float)
    segments = sorted(workdir.glob(SEGMENT_FILES))
    clips = segments or [workdir / FRAMES_FILE]
    texts: list[str] = []
    interval = request.video_refresh_interval
    batched, reused, total = 1, 0, len(clips) * request.num_inference_steps
    for clip in clips:
        with _timing(seconds, "prepare"):
            caption = pipeline.begin_understanding(
                np.load(clip, allow_pickle=False),
                instruction=request.instruction,
                num_inference_steps=request.num_inference_steps,
                seed=request.seed,
                video_refresh_interval=interval,
            )
        while not caption.is_done:
            shared = SharedStep(caption, pipeline.advance, caption.group)
            yield shared
            step = shared.result()
            seconds["denoise"] += shared.seconds
            batched = max(batched, shared.batched)
            done = len(texts) * step.total + step.index
            yield Progress(phase="denoise", step=done, of=total)
        texts.append(_caption(pipeline, step))
        reused += caption.num_reused
    found = of_caption(pipeline, interval, reused, total)
    final = _done("\n".join(texts), request.seed, seconds, found)
    own = {"segment_texts": texts} if segments else {}
    yield final.model_copy(update=own | {"batched": batched})


def _denoise(
    pipeline: UniViGUPipeline,
    request: GenerateRequest,
    features: FeatureCache | None,
    workdir: Path,
    seconds: _Seconds,
) -> Generator[Progress | Preview, None, tuple[Step, Step | None]]:
    """Return the last step, and the last whose caption was finished while the video was not."""
    steps = pipeline.generate_steps(
        request.prompt,
        mode=request.mode,
        height=request.height,
        width=request.width,
        num_frames=request.num_frames,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        seed=request.seed,
        features=features,
    )
    last = draft = None
    for last in _timed(steps, seconds, "denoise"):
        if request.mode == "joint" and last.text_sigma == 0 and last.index < last.total:
            draft = last
        yield Progress(phase="denoise", step=last.index, of=last.total)
        if request.preview_interval and last.index % request.preview_interval == 0:
            yield _preview(pipeline, request, last, workdir)
    assert last is not None
    return last, draft


def _preview(
    pipeline: UniViGUPipeline, request: GenerateRequest, step: Step, workdir: Path
) -> Preview:
    assert step.clean_latents is not None
    name = f"preview-{step.index}.jpg"
    picture = thumbnail_jpeg(pipeline.decode_first_frame(step.clean_latents))
    (workdir / name).write_bytes(picture)
    caption = _caption(pipeline, step) if request.mode == "joint" else None
    return Preview(step=step.index, of=step.total, caption=caption, frame=name)


def _caption(pipeline: UniViGUPipeline, last: Step) -> str:
    assert last.token_ids is not None
    return pipeline.decode_caption(last.token_ids)


def _encoder(
    checkpoint: str, request: GenerateRequest, text: str | None, workdir: Path
) -> Mp4Encoder:
    metadata = {
        "generator": "generated by Uni-ViGU server",
        "checkpoint": checkpoint,
        "prompt": request.prompt,
        "seed": request.seed,
    }
    return Mp4Encoder(
        workdir / VIDEO_FILE,
        num_frames=request.num_frames,
        fps=request.fps,
        caption=text or "",
        metadata=metadata,
    )


def _encode(
    chunks: Iterator[NDArray[np.uint8]],
    encoder: Mp4Encoder,
    request: GenerateRequest,
    workdir: Path,
    seconds: _Seconds,
) -> Generator[Progress, None, None]:
    written, sheet = 0, SpriteSheet(request.num_frames)
    for chunk in _timed(chunks, seconds, "decode"):
        with _timing(seconds, "encode"):
            if written == 0:
                (workdir / THUMBNAIL_FILE).write_bytes(thumbnail_jpeg(chunk[0]))
            encoder.write(chunk)
            sheet.add(chunk)
        written += len(chunk)
        yield Progress(phase="decode", step=written, of=request.num_frames)
    with _timing(seconds, "encode"):
        (workdir / SPRITESHEET_FILE).write_bytes(sheet.jpeg())


def _timed(items: Iterator[T], seconds: _Seconds, stage: str) -> Iterator[T]:
    """Yield the items and add up the time they took, without the time between them."""
    while True:
        try:
            with _timing(seconds, stage):
                item = next(items)
        except StopIteration:
            return
        yield item


@contextmanager
def _timing(seconds: _Seconds, stage: str) -> Iterator[None]:
    started = perf_counter()
    try:
        yield
    finally:
        seconds[stage] += perf_counter() - started


def _done(
    text: str | None, seed: int, seconds: _Seconds, approximations: list[Approximation]
) -> Done:
    return Done(
        text=text,
        seed=seed,
        stage_durations=dict(seconds),
        peak_memory_mb=peak_memory() / 2**20,
        approximations=approximations,
    )
