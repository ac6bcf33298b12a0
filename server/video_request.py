"""What `POST /v1/videos` takes, and how it becomes a job.

Defaults and limits are the checkpoint's: a request that names neither size nor duration gets its
own. Precedence: `size` over `width` and `height`; `num_frames` over `seconds`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contract.requests import Capabilities, GenerateRequest, Mode
from server.errors import InvalidRequest
from server.fields import Seconds, Seed, Text, WebhookUrl, check_model, check_steps, pick_seed

MAX_FPS = 60
MAX_GUIDANCE_SCALE = 100


class VideoCreate(BaseModel):
    """The fields that shape a video."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Text = Field(description="What the video shows")
    model: str | None = Field(default=None, description="`univigu`, or the checkpoint's own name")
    mode: Mode = Field(
        default="joint",
        description="`joint`: video and caption are denoised together; `text_to_video`: the "
        "caption is the prompt itself; `video_only`: no caption",
    )
    size: str | None = Field(
        default=None,
        pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$",
        description="WIDTHxHEIGHT in pixels; `/v1/videos/models` lists what is offered",
    )
    width: int | None = Field(default=None, gt=0, description="Pixels; together with `height`")
    height: int | None = Field(default=None, gt=0, description="Pixels; together with `width`")
    seconds: Seconds | None = Field(
        default=None,
        description="Duration; num_frames = 4 * floor(seconds * fps / 4) + 1",
    )
    num_frames: int | None = Field(default=None, gt=0, description="Frames, 4k + 1")
    fps: int | None = Field(default=None, gt=0, le=MAX_FPS, description="Frames per second")
    seed: Seed | None = Field(default=None, description="Same seed, same video; else random")
    num_inference_steps: int | None = Field(default=None, gt=0, description="Denoising steps")
    guidance_scale: float | None = Field(
        default=None,
        ge=0,
        le=MAX_GUIDANCE_SCALE,
        allow_inf_nan=False,
        description="How strongly the prompt steers the video",
    )
    preview_interval: int | None = Field(
        default=None,
        ge=1,
        description="Every so many steps an event brings a picture and the caption as they stand",
    )
    feature_cache_threshold: float | None = Field(
        default=None,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="Leave out what the network would compute on an input that has changed by less "
        "than this share, e.g. 0.1: faster, and approximate",
    )
    webhook_url: WebhookUrl | None = Field(
        default=None, description="Told of the job's end by a signed POST"
    )
    user: str | None = Field(default=None, description="The caller's own end user; not used")


def generate_request(body: VideoCreate, capabilities: Capabilities) -> GenerateRequest:
    """Fill in the checkpoint's defaults and hold the request against its limits.

    Raises:
        InvalidRequest: naming the field, the value and what is allowed.
    """
    check_model(body.model, capabilities)
    width, height = _size(body, capabilities)
    fps = body.fps or capabilities.fps
    guidance = body.guidance_scale
    return GenerateRequest(
        prompt=body.prompt,
        mode=body.mode,
        seed=pick_seed(body.seed),
        height=height,
        width=width,
        num_frames=_num_frames(body, fps, capabilities),
        fps=fps,
        num_inference_steps=check_steps(
            body.num_inference_steps, capabilities.default_num_inference_steps, capabilities
        ),
        guidance_scale=capabilities.default_guidance_scale if guidance is None else guidance,
        preview_interval=body.preview_interval,
        feature_cache_threshold=body.feature_cache_threshold,
    )


def _size(body: VideoCreate, capabilities: Capabilities) -> tuple[int, int]:
    offered = [(width, height) for height, width in capabilities.sizes]
    if body.size is not None:
        param, (width, height) = "size", map(int, body.size.split("x"))
    elif body.width is None and body.height is None:
        return offered[0]
    elif body.width is None or body.height is None:
        missing = "width" if body.width is None else "height"
        raise InvalidRequest("width and height go together", param=missing)
    else:
        param, width, height = "width", body.width, body.height
    if (width, height) not in offered:
        allowed = ", ".join(f"{width}x{height}" for width, height in offered)
        raise InvalidRequest(
            f"size {width}x{height} is not offered; allowed: {allowed}", param=param
        )
    return width, height


def _num_frames(body: VideoCreate, fps: int, capabilities: Capabilities) -> int:
    longest, stride = capabilities.max_num_frames, capabilities.temporal_compression
    if body.num_frames is not None:
        if body.num_frames > longest or (body.num_frames - 1) % stride:
            raise InvalidRequest(
                f"num_frames {body.num_frames} is not offered; "
                f"allowed: {stride}k + 1, at most {longest}",
                param="num_frames",
            )
        return body.num_frames
    if body.seconds is None:
        return capabilities.default_num_frames
    frames = stride * int(body.seconds * fps // stride) + 1
    if frames > longest:
        raise InvalidRequest(
            f"seconds {body.seconds} makes {frames} frames at {fps} fps; allowed: at most "
            f"{longest} frames, {(longest - 1) / fps:g} seconds",
            param="seconds",
        )
    return frames
