"""Batches: many requests in one file. What is known of one, and how Redis holds it.

The input is a copy of the client's file in the artifact store, under `input_key`.
"""

from __future__ import annotations

import json
import secrets
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from contract.artifacts import batch_folder

Ending = Literal["", "cancelled", "expired"]


class BatchStatus(StrEnum):
    """States of a batch, in the words of the wire."""

    #: its lines are being counted and looked at
    VALIDATING = "validating"
    #: its input is no batch; no line was started
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    #: no more lines are started; output and errors become files
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    #: it was not done in time; what was done is in the output
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether a batch in this state never changes again."""
        return self in (
            BatchStatus.FAILED,
            BatchStatus.COMPLETED,
            BatchStatus.EXPIRED,
            BatchStatus.CANCELLED,
        )


class BatchError(BaseModel):
    """Why an input is no batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    message: str
    param: str | None = None
    #: of the input, from 1
    line: int | None = None


class BatchRecord(BaseModel):
    """One batch as stored. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    account: str = ""
    endpoint: str
    input_file_id: str
    #: of the input, in bytes
    size: int
    created_at: float
    #: what is not done by then is not done
    expires_at: float
    metadata: dict[str, str] | None = None
    #: seconds that output and error file are kept
    output_lifetime: int | None = None
    status: BatchStatus = BatchStatus.VALIDATING
    #: how it ends if it does not complete
    ending: Ending = ""
    total: int = 0
    completed: int = 0
    failed: int = 0
    #: where the first line begins that was not taken yet
    offset: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[BatchError] = []
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    cancelling_at: float | None = None
    completed_at: float | None = None
    failed_at: float | None = None
    expired_at: float | None = None
    cancelled_at: float | None = None


def new_batch_id() -> str:
    """Return a fresh random id, e.g. `batch_3f...`."""
    return f"batch_{secrets.token_hex(12)}"


def input_key(batch_id: str) -> str:
    """Return where a batch keeps its input."""
    return f"{batch_folder(batch_id)}input.jsonl"


def parse_batch(values: dict[bytes, bytes]) -> BatchRecord:
    """Return the record of a Redis hash."""
    fields: dict[str, Any] = {name.decode(): value.decode() for name, value in values.items()}
    for name in ("metadata", "errors"):
        fields[name] = json.loads(fields[name])
    # Redis holds no None
    given = {name: value for name, value in fields.items() if value != ""}
    return BatchRecord.model_validate(given)
