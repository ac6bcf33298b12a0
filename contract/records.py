"""What is known of one job: its states, its fields, and how Redis holds them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from contract.errors import ErrorInfo
from contract.queues import Kind, id_prefix
from contract.requests import JobRequest, JobResult


class Status(StrEnum):
    """States of a job, in the words of the wire."""

    #: recorded and waiting for a slot
    QUEUED = "queued"
    #: claimed by a slot
    IN_PROGRESS = "in_progress"
    #: result and artifacts are ready
    COMPLETED = "completed"
    #: ended with an error that the record names
    FAILED = "failed"
    #: ended because its owner asked for that
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether a job in this state never changes again."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class JobRecord:
    """One job as stored. Times are Unix seconds."""

    id: str
    kind: Kind
    status: Status
    request: str  # JSON of a contract.requests.JobRequest
    created_at: float
    account: str = ""  # whose job it is: hash of an API key; empty where there are no keys
    webhook_url: str = ""  # told of the end, beside the account's own endpoints
    input_bytes: int = 0  # of an uploaded video
    fingerprint: str = ""  # of the request as sent, where a repeat of it has to be recognised
    traceparent: str = ""  # the span that made the job, W3C; empty where nothing is traced
    attempt: int = 0
    owner: str = ""
    phase: str = ""
    step: int = 0
    of: int = 0
    started_at: float | None = None
    completed_at: float | None = None
    cancel_requested_at: float | None = None
    error: ErrorInfo | None = None
    result: JobResult | None = None

    def parsed_request(self) -> JobRequest:
        """Return the validated request."""
        return _REQUEST.validate_json(self.request)


_REQUEST: TypeAdapter[JobRequest] = TypeAdapter(JobRequest)
_NUMBERS = {"attempt": int, "step": int, "of": int, "input_bytes": int} | dict.fromkeys(
    ("created_at", "started_at", "completed_at", "cancel_requested_at"), float
)
_FIELDS = {field.name for field in fields(JobRecord)}


def new_job_id(kind: Kind) -> str:
    """Return a fresh random id, e.g. `video_3f...`."""
    return id_prefix(kind) + secrets.token_hex(12)


def parse_record(values: dict[bytes, bytes]) -> JobRecord:
    """Return the record of a Redis hash."""
    record: dict[str, Any] = {}
    for key, value in values.items():
        name, text = key.decode(), value.decode()
        if name not in _FIELDS or text == "":
            continue
        if name in _NUMBERS:
            record[name] = _NUMBERS[name](text)
        elif name == "status":
            record[name] = Status(text)
        elif name == "error":
            record[name] = ErrorInfo.model_validate_json(text)
        elif name == "result":
            record[name] = JobResult.model_validate_json(text)
        else:
            record[name] = text
    return JobRecord(**record)
