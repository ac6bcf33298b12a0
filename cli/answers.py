"""What the HTTP API answers, as this client understands it: a job, or an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import httpx2

Kind = Literal["videos", "captions"]

_DEFAULT_POLL_MS = 500


class ApiError(Exception):
    """The server refused, or could not be reached (status 0).

    Args:
        status: HTTP status.
        message: the envelope's message.
        code: the envelope's code.
        param: the request field at fault, if the server names one.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


@dataclass(frozen=True)
class Job:
    """A video or caption job as last seen; `text` is the caption of either."""

    kind: Kind
    id: str
    status: str
    progress: int
    text: str | None
    error: str | None
    error_code: str | None
    poll_seconds: float

    @property
    def has_ended(self) -> bool:
        """Whether the job never changes again."""
        return self.status not in ("queued", "in_progress")


def find_error(answer: httpx2.Response) -> ApiError | None:
    """Return what an answer refuses, None if it does not."""
    if answer.is_success:
        return None
    try:
        detail = answer.json()["error"]
        return ApiError(answer.status_code, detail["message"], detail["code"], detail["param"])
    except (ValueError, KeyError, TypeError):
        return ApiError(answer.status_code, f"{answer.url} answered {answer.status_code}")


def checked(answer: httpx2.Response) -> httpx2.Response:
    """Return a good answer as it is.

    Raises:
        ApiError: if it is none.
    """
    error = find_error(answer)
    if error is not None:
        raise error
    return answer


def read_job(kind: Kind, answer: httpx2.Response) -> Job:
    """Return the job that an answer describes."""
    fields = answer.json()
    error = fields["error"] or {}
    return Job(
        kind=kind,
        id=fields["id"],
        status=fields["status"],
        progress=fields["progress"],
        text=fields["caption" if kind == "videos" else "text"],
        error=error.get("message"),
        error_code=error.get("code"),
        poll_seconds=int(answer.headers.get("openai-poll-after-ms", _DEFAULT_POLL_MS)) / 1000,
    )
