"""`/v1/models` and `/v1/videos/models`: what is loaded and what it can do."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, Field

from contract.engine_status import read_capabilities
from contract.requests import MAX_PROMPT_CHARACTERS, Capabilities, Mode
from server import routing
from server.errors import NotFound
from server.fields import MODEL_ID
from server.services import InjectedServices
from server.video_request import MAX_FPS, MAX_GUIDANCE_SCALE

router = routing.keyed_router("/v1", "models")


class Model(BaseModel):
    """The loaded checkpoint, as in OpenAI's list of models."""

    id: str = MODEL_ID
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="Not known")
    owned_by: str = MODEL_ID
    checkpoint: str = Field(description="Name and content hash of the checkpoint")


class VideoDefaults(BaseModel):
    """What a request that names nothing gets."""

    size: str
    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float


class VideoLimits(BaseModel):
    """The greatest values that a request may name."""

    num_frames: int
    fps: int
    num_inference_steps: int
    guidance_scale: float
    prompt_tokens: int
    prompt_characters: int


class VideoModel(BaseModel):
    """What can be asked of `POST /v1/videos`."""

    id: str = MODEL_ID
    checkpoint: str
    modes: list[str]
    sizes: list[str] = Field(description="WIDTHxHEIGHT; the first is the default")
    num_frames_step: int = Field(description="num_frames is this times k, plus 1")
    defaults: VideoDefaults
    limits: VideoLimits


class ModelList(BaseModel):
    """Loaded models: one, or none while it is loading."""

    object: Literal["list"] = "list"
    data: list[Model]


class VideoModelList(BaseModel):
    """Loaded video models."""

    object: Literal["list"] = "list"
    data: list[VideoModel]


@router.get("/models")
def list_models(services: InjectedServices) -> ModelList:
    """List the loaded model; empty while it is loading."""
    found = read_capabilities(services.redis)
    return ModelList(data=[Model(checkpoint=found.checkpoint)] if found else [])


@router.get("/models/{model_id}")
def retrieve_model(services: InjectedServices, model_id: str) -> Model:
    """Return the loaded model by `univigu` or by the checkpoint's own name."""
    checkpoint = services.capabilities().checkpoint
    if model_id not in (MODEL_ID, checkpoint):
        raise NotFound(f"model {model_id!r} is not loaded", code="model_not_found")
    return Model(checkpoint=checkpoint)


@router.get("/videos/models")
def list_video_models(services: InjectedServices) -> VideoModelList:
    """Return sizes, durations, defaults and limits of the loaded checkpoint."""
    return VideoModelList(data=[_describe(services.capabilities())])


def _describe(capabilities: Capabilities) -> VideoModel:
    sizes = [f"{width}x{height}" for height, width in capabilities.sizes]
    return VideoModel(
        checkpoint=capabilities.checkpoint,
        modes=list(get_args(Mode)),
        sizes=sizes,
        num_frames_step=capabilities.temporal_compression,
        defaults=VideoDefaults(
            size=sizes[0],
            num_frames=capabilities.default_num_frames,
            fps=capabilities.fps,
            num_inference_steps=capabilities.default_num_inference_steps,
            guidance_scale=capabilities.default_guidance_scale,
        ),
        limits=VideoLimits(
            num_frames=capabilities.max_num_frames,
            fps=MAX_FPS,
            num_inference_steps=capabilities.max_num_inference_steps,
            guidance_scale=MAX_GUIDANCE_SCALE,
            prompt_tokens=capabilities.max_prompt_tokens,
            prompt_characters=MAX_PROMPT_CHARACTERS,
        ),
    )
