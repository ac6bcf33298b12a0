"""What the span of an attempt says of how it ended, for every way in which it can end."""

from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contract.errors import ErrorInfo
from contract.records import JobRecord, Status
from contract.requests import UnderstandRequest
from worker import spans
from worker.failures import Cancelled, EngineLost, HandBack, JobFailed, NotMine, StorageLost

REFUSED = ErrorInfo(code="invalid_video", message="no video")
RECORD = JobRecord(
    id="caption_1",
    kind="understand",
    status=Status.IN_PROGRESS,
    request=UnderstandRequest(source="s", seed=0, num_inference_steps=2).model_dump_json(),
    created_at=10.0,
    started_at=12.5,
    attempt=1,
)


def ending(span: ReadableSpan) -> tuple[object, object, bool]:
    assert span.events == (), "an end that is foreseen has no traceback"
    attributes = dict(span.attributes)
    return (
        attributes.get("univigu.job.status"),
        attributes.get("error.type"),
        not span.status.is_ok,
    )


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (Status.COMPLETED, None, ("completed", None, False)),
        (Status.CANCELLED, None, ("cancelled", None, False)),
        (Status.FAILED, REFUSED, ("failed", "invalid_video", True)),
    ],
)
def test_an_attempt_that_ends_its_job(
    exporter: InMemorySpanExporter,
    status: Status,
    error: ErrorInfo | None,
    expected: tuple[object, object, bool],
) -> None:
    with spans.attempt_span(RECORD):
        spans.note_end(status, error)
    (span,) = exporter.get_finished_spans()
    assert ending(span) == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (HandBack("leaving"), ("queued", None, False)),
        (EngineLost("gone"), ("queued", "worker_lost", True)),
        (NotMine(), ("not_mine", None, False)),
        (KeyError("defect"), (None, "KeyError", True)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_attempt_that_leaves_its_job_to_another(
    exporter: InMemorySpanExporter, end: Exception, expected: tuple[object, object, bool]
) -> None:
    with pytest.raises(type(end)), spans.attempt_span(RECORD):
        raise end
    (span,) = exporter.get_finished_spans()
    assert ending(span) == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (JobFailed(REFUSED), "invalid_video"),
        (StorageLost("full"), "storage_error"),
        (Cancelled(), None),
        (HandBack("leaving"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_stage_that_breaks_off_is_an_error_where_it_has_failed(
    exporter: InMemorySpanExporter, end: Exception, expected: str | None
) -> None:
    with pytest.raises(type(end)), spans.stage_span("read"):
        raise end
    (span,) = exporter.get_finished_spans()
    assert ending(span) == (None, expected, expected is not None)


def test_only_the_first_attempt_says_how_long_the_job_has_waited(
    exporter: InMemorySpanExporter,
) -> None:
    for attempt in (1, 2):
        with spans.attempt_span(replace(RECORD, attempt=attempt)):
            pass
    waits = [
        span.attributes.get("univigu.job.wait_seconds") for span in exporter.get_finished_spans()
    ]
    assert waits == [2.5, None]
