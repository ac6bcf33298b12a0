"""The objects that clients read, and how they are made from a job record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from contract.errors import ErrorInfo
from contract.records import JobRecord, Status
from contract.requests import (
    Approximation,
    GenerateRequest,
    Mode,
    Segment,
    SourceName,
    UnderstandRequest,
)
from server.fields import MODEL_ID
from server.outlook import ENDED, Outlook
from server.texts import caption_text

SECONDS_PER_DAY = 86_400

#: which percents a phase covers, so that progress never runs backwards within an attempt
_SHARES = {"denoise": (0, 90), "decode": (90, 99)}


class Job(BaseModel):
    """What videos and captions have in common."""

    id: str
    model: str = Field(description="Always `univigu`: the loaded checkpoint")
    status: Status = Field(
        description="`queued`, `in_progress`, then `completed`, `failed` or `cancelled`"
    )
    progress: int = Field(
        description="Percent: denoising steps reach 90, decoded frames 99, completed is 100"
    )
    phase: str | None = Field(description="What the worker is doing, e.g. `denoise`")
    queue_position: int | None = Field(description="1 is the next to start; null if not waiting")
    eta_seconds: int | None = Field(
        description="Until the end, if jobs go on taking as long as they did; null if unknown"
    )
    attempt: int = Field(description="How often a worker has started the job")
    created_at: int = Field(description="Unix seconds, as all times here")
    started_at: int | None
    completed_at: int | None = Field(description="When the job ended, in whatever state")
    expires_at: int | None = Field(description="When the job and its files are deleted")
    cancel_requested_at: int | None
    error: ErrorInfo | None = Field(description="Why the job failed: `code` and `message`")
    seed: int = Field(description="The seed used, also where none was asked for")
    num_inference_steps: int
    stage_durations: dict[str, float] = Field(description="Seconds per stage")
    peak_memory_mb: float | None
    batched: int | None = Field(
        description="Jobs that shared a batch with this one, itself included"
    )
    approximations: list[Approximation] = Field(
        description="Savings that may have changed the result; empty if it is exact"
    )
    notes: list[str] = Field(description="What the worker had to say about input and result")
    urls: dict[str, str] = Field(description="Where the event stream and each variant is")


class Video(Job):
    """A video job: the fields of the OpenAI Video object, and ours."""

    object: Literal["video"] = "video"
    prompt: str
    size: str = Field(description="WIDTHxHEIGHT")
    seconds: str = Field(description="The duration that asks for this `num_frames` at this `fps`")
    remixed_from_video_id: str | None = None
    caption: str | None = Field(description="The caption made together with the video")
    mode: Mode
    width: int
    height: int
    num_frames: int
    fps: int
    duration_s: float = Field(description="num_frames / fps")
    guidance_scale: float


class Caption(Job):
    """A caption job."""

    object: Literal["caption"] = "caption"
    text: str | None = Field(description="The caption, or the answer to `instruction`")
    segments: list[Segment] = Field(
        description="Where `segment_seconds` was given: each text is a line of `text`"
    )
    instruction: str | None
    source: SourceName | None = Field(
        description="Which video it is; null if it had no name, as in a `data:` URL"
    )
    duration_s: float | None = Field(description="How long the input video plays")


class Deleted(BaseModel):
    """What is left of a deleted job."""

    id: str
    object: Literal["video.deleted", "caption.deleted"]
    deleted: Literal[True] = True


Item = TypeVar("Item", bound=Job)


class Page(BaseModel, Generic[Item]):
    """One page of a list; the next one starts `after` its `last_id`."""

    object: Literal["list"] = "list"
    data: Sequence[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


View = Callable[[JobRecord, float, Outlook], Item]


def video_view(record: JobRecord, retention_days: float, outlook: Outlook = ENDED) -> Video:
    """Return the Video object of a `generate` job."""
    request = record.parsed_request()
    assert isinstance(request, GenerateRequest)
    text = record.result.text if record.result else None
    files = record.result.artifacts if record.result else {}
    variants: list[str] = [name for name in ("video", "thumbnail", "spritesheet") if name in files]
    if text is not None:
        variants += ["caption", "txt", "vtt", "srt"]
    return Video(
        **_job_fields(record, request, retention_days, outlook),
        urls=_urls(record, "/v1/videos", "variant", variants),
        prompt=request.prompt,
        size=f"{request.width}x{request.height}",
        seconds=f"{(request.num_frames - 1) / request.fps:g}",
        caption=text,
        mode=request.mode,
        width=request.width,
        height=request.height,
        num_frames=request.num_frames,
        fps=request.fps,
        duration_s=request.num_frames / request.fps,
        guidance_scale=request.guidance_scale,
    )


def caption_view(record: JobRecord, retention_days: float, outlook: Outlook = ENDED) -> Caption:
    """Return the Caption object of an `understand` job."""
    request = record.parsed_request()
    assert isinstance(request, UnderstandRequest)
    text = caption_text(record)
    return Caption(
        **_job_fields(record, request, retention_days, outlook),
        urls=_urls(record, "/v1/captions", "format", text.formats() if text else []),
        text=text.text if text else None,
        segments=record.result.segments if record.result else [],
        instruction=request.instruction,
        source=request.source_name,
        duration_s=record.result.input_seconds if record.result else None,
    )


def _job_fields(
    record: JobRecord,
    request: GenerateRequest | UnderstandRequest,
    retention_days: float,
    outlook: Outlook,
) -> dict[str, Any]:
    result, ended = record.result, record.completed_at
    return {
        "id": record.id,
        "model": MODEL_ID,
        "status": record.status,
        "progress": _percent(record),
        "phase": record.phase or None,
        "queue_position": outlook.position,
        "eta_seconds": outlook.eta_seconds,
        "attempt": record.attempt,
        "created_at": int(record.created_at),
        "started_at": _seconds(record.started_at),
        "completed_at": _seconds(ended),
        "expires_at": _seconds(ended and ended + retention_days * SECONDS_PER_DAY),
        "cancel_requested_at": _seconds(record.cancel_requested_at),
        "error": record.error,
        "seed": result.seed if result else request.seed,
        "num_inference_steps": request.num_inference_steps,
        "stage_durations": result.stage_durations if result else {},
        "peak_memory_mb": result.peak_memory_mb if result else None,
        "batched": result.batched if result else None,
        "approximations": result.approximations if result else [],
        "notes": result.notes if result else [],
    }


def _percent(record: JobRecord) -> int:
    if record.status is Status.COMPLETED:
        return 100
    first, last = _SHARES.get(record.phase, (0, 99))
    return first + (last - first) * record.step // record.of if record.of else 0


def _seconds(time: float | None) -> int | None:
    return None if time is None else int(time)


def _urls(record: JobRecord, base: str, parameter: str, names: list[str]) -> dict[str, str]:
    own = f"{base}/{record.id}"
    return {"events": f"{own}/events"} | {
        name: f"{own}/content?{parameter}={name}" for name in names
    }
