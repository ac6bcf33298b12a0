"""Batches: what clients send and read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.batch_records import BatchError, BatchRecord, BatchStatus
from server.errors import InvalidRequest, NotFound
from server.fields import MODEL_ID
from server.files import ExpiresAfter, find_file
from server.services import Services

#: what is not done by then is not done
WINDOW_SECONDS = 86_400


class BatchCreate(BaseModel):
    """Which requests go where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_file_id: str = Field(
        description="A file of the purpose `batch`: on each line a JSON object with `custom_id`, "
        "`method`, `url` and `body`"
    )
    endpoint: Literal["/v1/videos", "/v1/captions", "/v1/chat/completions"] = Field(
        description="Where every line goes"
    )
    completion_window: Literal["24h"] = Field(description="What is not done by then is not done")
    metadata: (
        Annotated[
            dict[
                Annotated[str, Field(max_length=64)],
                Annotated[str, Field(max_length=512)],
            ],
            Field(max_length=16),
        ]
        | None
    ) = Field(default=None, description="The caller's own; handed back")
    output_expires_after: ExpiresAfter | None = Field(
        default=None, description="Of output and error file; default: 30 days"
    )


class Errors(BaseModel):
    """Why an input is no batch."""

    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(BaseModel):
    """How many lines have come how far."""

    total: int
    completed: int
    failed: int = Field(description="Those in the error file")


class Batch(BaseModel):
    """A batch, as in OpenAI's API."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str = MODEL_ID
    errors: Errors | None
    input_file_id: str
    completion_window: str = "24h"
    status: BatchStatus
    output_file_id: str | None = Field(description="Outcomes of the lines that have completed")
    error_file_id: str | None = Field(description="Outcomes of the others")
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None


class BatchList(BaseModel):
    """One page of batches, newest first; the next one starts `after` its `last_id`."""

    object: Literal["list"] = "list"
    data: Sequence[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool


_SHOWN = {"id", "endpoint", "input_file_id", "status", "output_file_id", "error_file_id"}
_TIMES = {name for name in Batch.model_fields if name.endswith("_at")}


def batch_view(record: BatchRecord) -> Batch:
    """Return what a client reads of a batch."""
    stored: dict[str, Any] = record.model_dump(include=_SHOWN | _TIMES)
    for name in _TIMES:
        stored[name] = None if stored[name] is None else int(stored[name])
    return Batch(
        **stored,
        errors=Errors(data=record.errors) if record.errors else None,
        request_counts=RequestCounts(
            total=record.total, completed=record.completed, failed=record.failed
        ),
        metadata=record.metadata,
    )


def find_batch(services: Services, account: str, batch_id: str) -> BatchRecord:
    """Return a batch of an account; the empty account has the batches of all.

    Raises:
        NotFound: if there is none, or it is of another account.
    """
    record = services.batches.get(batch_id)
    if record is None or account not in ("", record.account):
        raise NotFound(f"batch {batch_id!r} does not exist")
    return record


def input_size(services: Services, account: str, file_id: str) -> int:
    """Return the size in bytes of a file that is to be a batch's input.

    Raises:
        InvalidRequest: if the account has no such file, or it is for something else.
    """
    try:
        file = find_file(services, account, file_id)
    except NotFound as error:
        raise InvalidRequest(f"input_file_id: {error.message}", param="input_file_id") from error
    if file.purpose != "batch":
        raise InvalidRequest(
            f"input_file_id {file_id!r} has the purpose {file.purpose!r}; it must be 'batch'",
            param="input_file_id",
        )
    return file.bytes
