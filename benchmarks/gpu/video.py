"""Pixels from latents against diffusers, and a few-step video from its prompt to its file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.house import House
from benchmarks.paired import Row, interleave
from model.latents import decode_chunks, to_uint8
from model.pipeline import UniViGUPipeline

DECODE = "VAE decode: diffusers / ours"
FOUR_STEPS = "1.3b four-step video, prompt to MP4: seconds"
_STEPS, _REPEATS, _PAIRS = 4, 3, 3


@torch.inference_mode()
def decode(house: House) -> Iterator[Row]:
    """Measure the decoding of a clip to pixels on the device."""
    pipeline = house.pipeline("1.3b")
    vae, latents = pipeline.vae, house.noise(pipeline)
    theirs_of = latents.to(vae.dtype)

    def ours() -> Tensor:
        return torch.cat([to_uint8(chunk) for chunk in decode_chunks(vae, latents)], dim=1)

    def theirs() -> Tensor:
        with torch.compiler.set_stance("force_eager"):  # it is the same autoencoder
            pixels: Tensor = vae.decode(theirs_of, return_dict=False)[0]
        return pixels

    assert ours().shape[1] == theirs().shape[2] == house.shapes.num_frames
    pairs = interleave(partial(house.seconds, theirs), partial(house.seconds, ours), _PAIRS)
    yield Row(DECODE, pairs.ratio, 2.0, "min", pairs.describe("diffusers", "ours"))


def four_steps(house: House) -> Iterator[Row]:
    """Measure four unguided steps and all that comes before and after them."""
    pipeline = house.pipeline("1.3b")
    open_file, made = _encoder(house)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        video = partial(_make, house, pipeline, partial(open_file, path))
        video()
        seconds = median(house.seconds(video) for _ in range(_REPEATS))
    yield Row(FOUR_STEPS, seconds, 3.2, "max", f"{made}, median of {_REPEATS}")


def _make(house: House, pipeline: UniViGUPipeline, open_file: Callable[[], Any]) -> None:
    shapes = house.shapes
    *_, last = pipeline.generate_steps(
        "a red circle moving left",
        mode="video_only",
        height=shapes.height,
        width=shapes.width,
        num_frames=shapes.num_frames,
        num_inference_steps=_STEPS,
        guidance_scale=1.0,
        seed=0,
    )
    assert last.latents is not None
    with open_file() as encoder:
        for frames in pipeline.decode_latents(last.latents):
            if encoder is not None:
                encoder.write(frames)


def _encoder(house: House) -> tuple[Callable[[Path], Any], str]:
    """Return what opens a file for frames, or for nothing where there is no encoder."""
    try:
        from worker.video_io.encode import Mp4Encoder
    except ImportError as error:
        return (lambda path: nullcontext()), f"frames in memory only, no file: {error}"
    return partial(Mp4Encoder, num_frames=house.shapes.num_frames, fps=16), "with its file"
