"""What `POST /v1/captions` takes, and how it becomes a job."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contract.requests import Capabilities, CaptionFormat, SourceName, UnderstandRequest
from server.errors import InvalidRequest
from server.fields import Seed, Text, WebhookUrl, check_model, check_steps, pick_seed


class CaptionCreate(BaseModel):
    """The fields beside the uploaded file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    video_url: str | None = Field(
        default=None,
        description="Where the video is, instead of an upload: `https://...` at a public address, "
        "or `data:video/mp4;base64,...`",
    )
    file_id: str | None = Field(default=None, description="A file of `/v1/files`")
    video_id: str | None = Field(default=None, description="A completed video job")
    model: str | None = Field(default=None, description="`univigu`, or the checkpoint's own name")
    instruction: Text | None = Field(
        default=None, description="What to tell about the video; else it is captioned"
    )
    seed: Seed | None = Field(default=None, description="Same seed, same text; else random")
    num_inference_steps: int | None = Field(default=None, gt=0, description="Denoising steps")
    segment_seconds: float | None = Field(
        default=None,
        ge=0.5,
        le=86_400,
        allow_inf_nan=False,
        description="Cut the video into segments of so many seconds and caption each",
    )
    video_refresh_interval: int | None = Field(
        default=None,
        ge=1,
        description="Look at the video every so many steps only: faster, and approximate; for "
        "checkpoints that would look in every step",
    )
    response_format: CaptionFormat | None = Field(
        default=None, description="What `/content` answers with where it is not asked for a format"
    )
    webhook_url: WebhookUrl | None = Field(
        default=None, description="Told of the job's end by a signed POST"
    )
    user: str | None = Field(default=None, description="The caller's own end user; not used")


def understand_request(
    body: CaptionCreate,
    source: str,
    capabilities: Capabilities,
    source_name: SourceName | None = None,
) -> UnderstandRequest:
    """Fill in the checkpoint's defaults and hold the request against its limits.

    Args:
        body: the checked fields.
        source: artifact key or URL of the video.
        capabilities: what the checkpoint can do.
        source_name: what the client calls the video.

    Raises:
        InvalidRequest: naming the field, the value and what is allowed.
    """
    check_model(body.model, capabilities)
    interval = body.video_refresh_interval
    if interval is not None and not capabilities.has_video_refresh:
        raise InvalidRequest(
            f"video_refresh_interval {interval} is not offered: this checkpoint looks at a video "
            "once, which is exact",
            param="video_refresh_interval",
        )
    return UnderstandRequest(
        source=source,
        source_name=source_name,
        instruction=body.instruction,
        seed=pick_seed(body.seed),
        num_inference_steps=check_steps(
            body.num_inference_steps, capabilities.default_understand_steps, capabilities
        ),
        segment_seconds=body.segment_seconds,
        video_refresh_interval=interval,
        response_format=body.response_format,
    )
