"""The spans of an attempt at a job in its slot; prompts and captions are in none of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from contract.errors import ErrorInfo
from contract.records import JobRecord, Status
from contract.requests import GenerateRequest, JobRequest
from contract.tracing import parent_context
from worker.failures import HandBack, InfrastructureLost, JobFailed, NotMine

_tracer = trace.get_tracer("univigu.worker")


def job_attributes(job_id: str, attempt: int, request: JobRequest) -> dict[str, str | int]:
    """Return what the spans of an attempt are found by."""
    return {
        "univigu.job.id": job_id,
        "univigu.job.attempt": attempt,
        "univigu.job.mode": request.mode if isinstance(request, GenerateRequest) else "understand",
    }


@contextmanager
def attempt_span(record: JobRecord) -> Iterator[None]:
    """Trace a slot's work on a claimed attempt; it hangs below the request that made the job."""
    with _tracer.start_as_current_span(
        f"process {record.kind}",
        parent_context(record.traceparent),
        SpanKind.CONSUMER,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        if span.is_recording():
            span.set_attributes(_attributes(record))
        try:
            yield
        except HandBack:
            span.set_attribute("univigu.job.status", Status.QUEUED)
            raise
        except InfrastructureLost as loss:
            span.set_attribute("univigu.job.status", Status.QUEUED)
            mark_failed(span, loss.info.code, loss.info.message)
            raise
        except NotMine:
            span.set_attribute("univigu.job.status", "not_mine")
            raise
        except Exception as error:  # Redis is lost, or a defect: the slot logs it
            mark_failed(span, type(error).__name__, str(error))
            raise


def _attributes(record: JobRecord) -> dict[str, str | int | float]:
    attributes: dict[str, str | int | float] = {
        "messaging.system": "rq",
        "messaging.destination.name": record.kind,
        "messaging.operation.type": "process",
        **job_attributes(record.id, record.attempt, record.parsed_request()),
    }
    if record.attempt == 1 and record.started_at is not None:
        attributes["univigu.job.wait_seconds"] = record.started_at - record.created_at
    return attributes


def note_end(status: Status, error: ErrorInfo | None) -> None:
    """Put into the attempt's span how the job has ended."""
    span = trace.get_current_span()
    span.set_attribute("univigu.job.status", status)
    if error is not None:
        mark_failed(span, error.code, error.message)


@contextmanager
def stage_span(name: str) -> Iterator[None]:
    """Trace a part of an attempt; a cancel or a hand-back in it is no failure of it."""
    with _tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except (JobFailed, InfrastructureLost) as failure:
            mark_failed(span, failure.info.code, failure.info.message)
            raise


def mark_failed(span: Span, code: str, message: str) -> None:
    """Show a span as failed, with what the client gets to read."""
    span.set_attribute("error.type", code)
    span.set_status(StatusCode.ERROR, message)
