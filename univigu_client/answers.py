"""What a server answers, as this client understands it: a job, an event, a hit, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Any, Literal

import httpx2

Kind = Literal["videos", "captions"]

#: between two looks where the server does not say
POLL_SECONDS = 0.5
_ENDS = ("completed", "failed", "cancelled")


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


class StillRunning(TimeoutError):
    """A job has not ended within the time given; it goes on, and can be waited for again."""


@dataclass(frozen=True)
class Source:
    """Which video a caption is of: what its request has named, and the name of the file."""

    filename: str | None
    video_url: str | None
    file_id: str | None
    video_id: str | None


_SOURCE = [item.name for item in fields_of(Source)]


@dataclass(frozen=True)
class Job:
    """A video or caption job as last seen.

    `text` is the caption of either, or the answer to an instruction; `progress` a percentage;
    `duration_seconds` how long the video plays; `source` which video a caption is of, None where
    that has no name; `fields` the whole object as the server sent it.
    """

    kind: Kind
    id: str
    status: str
    progress: int
    text: str | None
    error: str | None
    error_code: str | None
    poll_seconds: float
    duration_seconds: float | None = None
    source: Source | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def path(self) -> str:
        """Where the server has it."""
        return f"/v1/{self.kind}/{self.id}"

    @property
    def has_ended(self) -> bool:
        """Whether the job never changes again."""
        return self.status in _ENDS


@dataclass(frozen=True)
class Event:
    """One event of a job: `queued`, `started`, `progress`, ..., and last its final state."""

    id: str
    type: str
    data: Mapping[str, Any]

    @property
    def is_last(self) -> bool:
        """Whether the job has ended with it."""
        return self.type in _ENDS


@dataclass(frozen=True)
class Hit:
    """A job whose text matches a search."""

    id: str
    kind: Kind
    text: str


def find_error(answer: httpx2.Response) -> ApiError | None:
    """Return what an answer refuses, None if it does not."""
    if answer.is_success:
        return None
    try:
        return read_error(answer.status_code, answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return ApiError(answer.status_code, f"{answer.url} answered {answer.status_code}")


def read_error(status: int, detail: Mapping[str, Any]) -> ApiError:
    """Return the error of an envelope."""
    return ApiError(status, detail["message"], detail.get("code"), detail.get("param"))


def read_job(kind: Kind, fields: Mapping[str, Any], poll_seconds: float = POLL_SECONDS) -> Job:
    """Return the job that an object describes."""
    error, source = fields["error"] or {}, fields.get("source")
    return Job(
        kind=kind,
        id=fields["id"],
        status=fields["status"],
        progress=fields["progress"],
        text=fields["caption" if kind == "videos" else "text"],
        error=error.get("message"),
        error_code=error.get("code"),
        poll_seconds=poll_seconds,
        duration_seconds=fields.get("duration_s"),
        source=Source(*map(source.get, _SOURCE)) if source else None,
        fields=fields,
    )


def read_hits(answer: httpx2.Response) -> list[Hit]:
    """Return what a search has found, best first."""
    kinds: dict[str, Kind] = {"video": "videos", "caption": "captions"}
    found = answer.json()["data"]
    return [Hit(id=hit["id"], kind=kinds[hit["object"]], text=hit["text"]) for hit in found]
