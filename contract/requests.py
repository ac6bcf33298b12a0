"""What a job asks for and what it yields, exactly as stored in its record.

The HTTP models, with their aliases and defaults, live in `server`; these are what is left after
every default has been filled in, so that a job means the same whenever it runs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_SEED = 2**63 - 1
#: the longest prompt or instruction accepted over HTTP; the encoder's token limit is lower
MAX_PROMPT_CHARACTERS = 32_000

Mode = Literal["joint", "text_to_video", "video_only"]
CaptionFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class GenerateRequest(_Stored):
    """Make a video, and in `joint` mode its caption, from a prompt."""

    kind: Literal["generate"] = "generate"
    prompt: str = Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS)
    mode: Mode = "joint"
    seed: int = Field(ge=0, le=MAX_SEED)
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    num_frames: int = Field(gt=0)
    fps: int = Field(gt=0)
    num_inference_steps: int = Field(gt=0)
    guidance_scale: float = Field(ge=0)
    #: every so many steps the job's log gets a picture and the caption as it stands; None: never
    preview_interval: int | None = Field(default=None, gt=0)
    #: steps whose input has changed by less are left out; None: all are computed
    feature_cache_threshold: float | None = Field(default=None, gt=0, le=1)


class SourceName(_Stored):
    """The video of a caption as its client named it; null is what does not apply."""

    filename: str | None = Field(
        default=None, description="Of the upload, or of the file behind `file_id`"
    )
    video_url: str | None = Field(
        default=None, description="Without its query, which may be a credential"
    )
    file_id: str | None = None
    video_id: str | None = None


class UnderstandRequest(_Stored):
    """Caption a stored video, or answer `instruction` about it."""

    kind: Literal["understand"] = "understand"
    #: artifact key of the input video, or the URL that gives it
    source: str
    #: None: it had no name, as in a `data:` URL
    source_name: SourceName | None = None
    instruction: str | None = Field(default=None, max_length=MAX_PROMPT_CHARACTERS)
    seed: int = Field(ge=0, le=MAX_SEED)
    num_inference_steps: int = Field(gt=0)
    #: cut the video into segments of so many seconds and caption each; None: one text for all
    segment_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    #: look at the video every so many steps; None: as often as the checkpoint was trained to
    video_refresh_interval: int | None = Field(default=None, gt=0)
    #: what the text is handed out as where nothing else is asked for
    response_format: CaptionFormat | None = None


def is_url(source: str) -> bool:
    """Return whether a source is to be fetched; an artifact key has no scheme."""
    return "://" in source


JobRequest = Annotated[GenerateRequest | UnderstandRequest, Field(discriminator="kind")]


class Segment(_Stored):
    """The text of a stretch of a video; `start` and `end` are seconds from its beginning."""

    start: float
    end: float
    text: str


class Approximation(_Stored):
    """A saving that may have changed the result."""

    name: Literal["feature_cache", "fp8_linears", "video_refresh"] = Field(
        description="`feature_cache`: passes of the network were left out; `video_refresh`: steps "
        "read the video as an earlier one saw it; `fp8_linears`: the worker computes in 8 bits"
    )
    setting: float | None = Field(
        default=None, description="What the request asked for: the threshold, or the interval"
    )
    reused: int | None = Field(default=None, description="Passes or steps that were spared")
    of: int | None = Field(default=None, description="All of them")


class JobResult(_Stored):
    """What a completed job has made; also the content of its manifest."""

    #: caption, or answer to the instruction; None where the mode makes no text
    text: str | None = None
    #: of a video that was cut: its stretches in order, whose texts are the lines of `text`
    segments: list[Segment] = Field(default_factory=list)
    #: variant name to artifact key, e.g. {"video": "jobs/video_x/1/video.mp4"}
    artifacts: dict[str, str] = Field(default_factory=dict)
    seed: int
    #: seconds per stage, e.g. {"denoise": 1.2, "decode": 0.3}
    stage_durations: dict[str, float] = Field(default_factory=dict)
    peak_memory_mb: float | None = None
    #: how long the input video plays
    input_seconds: float | None = None
    #: of all artifacts together
    stored_bytes: int = 0
    #: jobs that shared a batch with this one, itself included
    batched: int = 1
    #: savings that may have changed the result; empty: it is exact
    approximations: list[Approximation] = Field(default_factory=list)
    #: facts the client should know, e.g. that a short clip repeated its last frame
    notes: list[str] = Field(default_factory=list)


class Capabilities(_Stored):
    """What the loaded checkpoint can do; published by the engine once it is warm."""

    #: name and content hash of the checkpoint
    checkpoint: str
    #: allowed (height, width)
    sizes: list[tuple[int, int]] = Field(min_length=1)
    max_num_frames: int
    default_num_frames: int
    fps: int
    default_num_inference_steps: int
    default_understand_steps: int
    max_num_inference_steps: int
    default_guidance_scale: float
    #: pixel frames per latent frame: num_frames is this times k, plus 1
    temporal_compression: int
    #: tokens of the longest prompt or instruction
    max_prompt_tokens: int
    #: whether captions take a `video_refresh_interval`
    has_video_refresh: bool = False
