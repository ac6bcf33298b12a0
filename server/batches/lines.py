"""A line of a batch: a request to one of the endpoints, what it starts, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.batch_records import BatchRecord
from contract.queues import Kind, id_prefix
from contract.records import JobRecord, Status
from server.bodies import MAX_JSON_BYTES, MAX_LONG_JSON_BYTES, Body, json_object, without_nulls
from server.chat_completion import completion
from server.chat_request import caption_body, chat_request
from server.errors import (
    InvalidRequest,
    JobFailed,
    ServerError,
    error_body,
    first_error,
    shown,
)
from server.repeats import Origin
from server.services import Services
from server.starting import start_caption, start_video
from server.wire import caption_view, video_view


class Line(BaseModel):
    """One request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    custom_id: Annotated[str, Field(min_length=1, max_length=512)]
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """Where lines go to."""

    kind: Kind
    max_line_bytes: int
    start: Callable[[Services, Origin, Body], JobRecord]
    #: the body of the answer, for a completed job
    answer: Callable[[JobRecord, float], BaseModel]


def _start_chat(services: Services, origin: Origin, body: Body) -> JobRecord:
    chat = chat_request(body)
    if chat.stream:
        raise InvalidRequest("stream true is not possible in a batch", param="stream")
    return start_caption(services, origin, caption_body(chat))


ENDPOINTS = {
    "/v1/videos": Endpoint("generate", MAX_JSON_BYTES, start_video, video_view),
    "/v1/captions": Endpoint("understand", MAX_JSON_BYTES, start_caption, caption_view),
    "/v1/chat/completions": Endpoint(
        "understand", MAX_LONG_JSON_BYTES, _start_chat, lambda record, _: completion(record)
    ),
}


def parse_line(data: bytes, endpoint: str) -> Line:
    """Return the request of a line.

    Raises:
        InvalidRequest: if there is none in it, or it goes elsewhere.
    """
    try:
        line = Line.model_validate(json_object(data), strict=True)
    except ValidationError as error:
        raise first_error(error.errors()) from error
    if line.url != endpoint:
        raise InvalidRequest(
            f"url {shown(line.url)} is not the endpoint of the batch, {endpoint!r}",
            param="url",
            code="mismatched_url",
        )
    return line


def job_id(batch: BatchRecord, offset: int) -> str:
    """Return the id of a line's job, the same whoever starts it."""
    return f"{id_prefix(ENDPOINTS[batch.endpoint].kind)}{_line_name(batch, offset)}"


def start_line(services: Services, batch: BatchRecord, offset: int, line: Line) -> JobRecord:
    """Start the job of a line, or return the one that was started before.

    Raises:
        ServerError: if it cannot be started.
    """
    origin = Origin(batch.account, chosen_id=job_id(batch, offset))
    known = services.jobs.get(job_id(batch, offset))
    if known and known.account == batch.account:  # whatever its source has become meanwhile
        return known
    return ENDPOINTS[batch.endpoint].start(services, origin, Body(without_nulls(line.body)))


def ended_line(
    services: Services, batch: BatchRecord, offset: int, custom_id: str, record: JobRecord
) -> str:
    """Return the outcome of a line whose job has ended."""
    if record.status is not Status.COMPLETED:
        if record.status is Status.CANCELLED and batch.ending:
            return unfinished_line(batch, offset, custom_id)
        return refused_line(
            batch, offset, custom_id, JobFailed(record.id, record.status, record.error)
        )
    days = services.settings.retention_days
    answer = ENDPOINTS[batch.endpoint].answer(record, days).model_dump(mode="json")
    return _outcome(batch, offset, custom_id, response=_response(batch, offset, 200, answer))


def refused_line(batch: BatchRecord, offset: int, custom_id: str, error: ServerError) -> str:
    """Return the outcome of a line that was answered with an error."""
    response = _response(batch, offset, error.status, error_body(error))
    return _outcome(batch, offset, custom_id, response=response)


def unfinished_line(batch: BatchRecord, offset: int, custom_id: str) -> str:
    """Return the outcome of a line that the end of its batch has left undone."""
    error = {"code": f"batch_{batch.ending}", "message": f"the batch is {batch.ending}"}
    return _outcome(batch, offset, custom_id, error=error)


def _response(batch: BatchRecord, offset: int, status: int, body: dict[str, Any]) -> dict[str, Any]:
    request_id = f"req_{_line_name(batch, offset)}"
    return {"status_code": status, "request_id": request_id, "body": body}


def _outcome(
    batch: BatchRecord,
    offset: int,
    custom_id: str,
    response: dict[str, Any] | None = None,
    error: dict[str, str] | None = None,
) -> str:
    outcome = {
        "id": f"batch_req_{_line_name(batch, offset)}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return json.dumps(outcome, ensure_ascii=False)


def _line_name(batch: BatchRecord, offset: int) -> str:
    return f"{batch.id.removeprefix('batch_')}_{offset}"
