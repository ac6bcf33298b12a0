"""The words for what can go wrong with a job, as clients read them in `error.code`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class ErrorCode(StrEnum):
    """Stable codes of a failed job; `video_io` adds the codes of unreadable input videos."""

    #: the request cannot be carried out by this checkpoint; the message names field and limit
    INVALID_REQUEST = "invalid_request"
    #: prompt or instruction has more tokens than the text encoder takes
    PROMPT_TOO_LONG = "prompt_too_long"
    #: prompt or caption breaks a rule of the content policy, which the message names
    CONTENT_POLICY_VIOLATION = "content_policy_violation"
    #: the device ran out of memory at this shape; never retried
    OUT_OF_MEMORY = "out_of_memory"
    #: the job ran longer than its limit
    TIMEOUT = "timeout"
    #: every attempt lost its worker; the job is not tried again
    WORKER_LOST = "worker_lost"
    #: the artifact store refused or lost a file
    STORAGE_ERROR = "storage_error"
    #: the certificate and key of the worker do not sign the video, which is not handed out
    SIGNING_FAILED = "signing_failed"
    #: a defect of this server; the log has the traceback under the job id
    INTERNAL = "internal_error"


class ErrorInfo(BaseModel):
    """Why a job failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    message: str
    param: str | None = None
