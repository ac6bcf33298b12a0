"""Settings of the GPU side: supervisor, engine, slots and janitor read the same ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from contract.settings import SharedSettings


def shipped_checkpoint() -> Path:
    """Return the folder of the demo checkpoint, without importing `model` (and torch)."""
    spec = importlib.util.find_spec("model")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "checkpoints" / "moving-shapes"


class WorkerSettings(SharedSettings):
    """How many jobs at once, on what, and how patiently."""

    checkpoint: Path = Field(
        default_factory=shipped_checkpoint,
        description="Checkpoint folder in diffusers layout. Unset: the shipped demo checkpoint.",
    )
    device: str = Field(
        default="auto", description="Torch device, e.g. `cuda:1`. `auto`: CUDA if there is one."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="`auto`: bfloat16 on CUDA, float32 on the CPU."
    )
    num_threads: int | None = Field(
        default=None, gt=0, description="CPU threads of the engine. Unset: torch's own choice."
    )
    compile_blocks: bool = Field(
        default=False,
        description="Compile the network's blocks and the autoencoder's norms: faster steps, and a "
        "long wait for the first of the first two shapes.",
    )
    cuda_graphs: bool = Field(
        default=False,
        description="Launch the steps of captions as CUDA graphs, compiled: for a GPU that waits "
        "for its launches. Not yet measured on one.",
    )
    fuse_projections: bool = Field(
        default=False,
        description="Compute query, key and value in one product, with a second copy of weights.",
    )
    attention_backend: str | None = Field(
        default=None,
        description="Diffusers' name of an attention kernel, e.g. `_native_cudnn`. Unset: torch's "
        "own choice.",
    )
    fp8_linears: bool = Field(
        default=False,
        description="Compute the network's blocks in 8 bits, on a GPU that can: faster, and every "
        "result says that it is approximate.",
    )
    memory_bytes: int | None = Field(
        default=None,
        gt=0,
        description="Memory for jobs and for what is kept between them; what would not fit waits. "
        "Unset: nine tenths of what is free once the model is warm.",
    )
    cache_bytes: int | None = Field(
        default=None,
        ge=0,
        description="How much of that keeps clips and prompts that may come again. Unset: a tenth.",
    )
    generate_slots: int = Field(default=2, ge=0, description="Videos generated at the same time.")
    understand_slots: int = Field(default=8, ge=0, description="Videos captioned at the same time.")
    lease_seconds: int = Field(
        default=15, gt=0, description="A job whose slot is silent this long is tried again."
    )
    beat_seconds: int = Field(
        default=4, gt=0, description="How often a slot renews its lease and looks for a cancel."
    )
    engine_start_seconds: float = Field(
        default=900, gt=0, description="Longest load and warm-up before the engine is restarted."
    )
    engine_silence_seconds: float = Field(
        default=60, gt=0, description="An engine that makes no step for this long is restarted."
    )
    engine_wait_seconds: float = Field(
        default=120, gt=0, description="How long a slot waits for an engine before it hands back."
    )
    grace_seconds: float = Field(
        default=5,
        ge=0,
        description="On SIGTERM: time for running jobs before they are handed back.",
    )
    max_fetch_seconds: float = Field(
        default=60, gt=0, description="Longest time for fetching the video behind a `video_url`."
    )
    max_video_seconds: float = Field(
        default=600, gt=0, description="Longest input video, in seconds of playing time."
    )
    max_video_pixels: int = Field(
        default=4096 * 2304, gt=0, description="Most pixels in one frame of an input video."
    )
    max_decode_seconds: float = Field(
        default=60, gt=0, description="Longest time for reading one input video."
    )
    c2pa_certificate_file: Path | None = Field(
        default=None,
        description="Certificate chain (PEM) that every video is signed with as generated, by a "
        "C2PA manifest. Unset: none is signed.",
    )
    c2pa_key_file: Path | None = Field(
        default=None, description="Its private key (PEM, without a password)."
    )

    @field_validator("c2pa_certificate_file", "c2pa_key_file")
    @classmethod
    def _make_absolute(cls, path: Path | None) -> Path | None:
        return path and path.absolute()

    @model_validator(mode="after")
    def _need_both_to_sign(self) -> Self:
        if (self.c2pa_certificate_file is None) != (self.c2pa_key_file is None):
            missing = "KEY" if self.c2pa_key_file is None else "CERTIFICATE"
            raise ValueError(
                f"UNIVIGU_C2PA_{missing}_FILE is not set; it takes certificate and key to sign"
            )
        return self
