"""What a client reads of a job in each state."""

import pytest
from openai.types import Video as OpenAIVideo

from contract.errors import ErrorInfo
from contract.records import JobRecord, Status
from contract.requests import GenerateRequest, JobResult, UnderstandRequest
from server.wire import caption_view, video_view

REQUEST = GenerateRequest(
    prompt="a red circle",
    seed=3,
    height=64,
    width=96,
    num_frames=17,
    fps=8,
    num_inference_steps=20,
    guidance_scale=4.5,
)


def record(status: Status = Status.IN_PROGRESS, **fields: object) -> JobRecord:
    return JobRecord(
        id="video_x",
        kind="generate",
        status=status,
        request=REQUEST.model_dump_json(),
        created_at=1000.9,
        **fields,  # type: ignore[arg-type]
    )


def test_the_thirteen_fields_of_the_openai_object_are_there() -> None:
    video = video_view(record(), retention_days=1)
    assert OpenAIVideo.model_fields.keys() <= video.model_dump().keys()


@pytest.mark.parametrize(
    ("phase", "step", "of", "percent"),
    [
        ("", 0, 0, 0),
        ("denoise", 0, 3, 0),
        ("denoise", 1, 3, 30),
        ("denoise", 3, 3, 90),
        ("decode", 0, 17, 90),
        ("decode", 17, 17, 99),
    ],
)
def test_progress_rises_through_the_phases_and_is_full_only_when_completed(
    phase: str, step: int, of: int, percent: int
) -> None:
    assert video_view(record(phase=phase, step=step, of=of), 1).progress == percent
    done = record(Status.COMPLETED, phase=phase, step=step, of=of)
    assert video_view(done, 1).progress == 100


def test_the_seconds_shown_ask_for_the_same_frames_again() -> None:
    video = video_view(record(), 1)
    assert (video.seconds, video.num_frames, video.duration_s) == ("2", 17, 17 / 8)


def test_a_running_job_does_not_expire_and_an_ended_one_does() -> None:
    assert video_view(record(), 2).expires_at is None
    assert video_view(record(Status.FAILED, completed_at=5000.0), 2).expires_at == 5000 + 172_800


def test_only_variants_that_exist_have_urls() -> None:
    silent = JobResult(artifacts={"video": "jobs/video_x/1/video.mp4"}, seed=3)
    urls = video_view(record(Status.COMPLETED, result=silent), 1).urls
    assert urls.keys() == {"events", "video"}
    spoken = silent.model_copy(update={"text": "a red circle"})
    urls = video_view(record(Status.COMPLETED, result=spoken), 1).urls
    assert urls["txt"] == "/v1/videos/video_x/content?variant=txt"


def test_a_failed_job_carries_its_error() -> None:
    error = ErrorInfo(code="out_of_memory", message="96x64x17 does not fit")
    assert video_view(record(Status.FAILED, error=error), 1).error == error


def test_a_caption_shows_its_text_and_question() -> None:
    request = UnderstandRequest(
        source="uploads/x/source", instruction="which colour?", seed=1, num_inference_steps=4
    )
    caption = caption_view(
        JobRecord(
            id="caption_x",
            kind="understand",
            status=Status.COMPLETED,
            request=request.model_dump_json(),
            created_at=1.0,
            result=JobResult(text="red", seed=1),
        ),
        retention_days=1,
    )
    assert (caption.object, caption.text, caption.instruction) == (
        "caption",
        "red",
        "which colour?",
    )
    assert caption.urls.keys() == {"events", "txt", "text", "json"}
