"""Names that the HTTP process and the workers agree on for the queue."""

from __future__ import annotations

from typing import Any, Literal

Kind = Literal["generate", "understand"]

#: queue names are the kinds of job; a slot serves exactly one
QUEUES: tuple[Kind, ...] = ("generate", "understand")
#: what rq stores as the function of a job; slots never import or call it
JOB_FUNCTION = "univigu.job"
#: attempts after the first that infrastructure failures may use up
MAX_RETRIES = 2
#: seconds one job may run
JOB_TIMEOUT_SECONDS = 3600
#: seconds rq keeps its own bookkeeping of an ended job; our record is the truth
_RQ_RESULT_TTL_SECONDS = 600
#: how both sides queue a ticket
TICKET_OPTIONS: dict[str, Any] = {
    "timeout": JOB_TIMEOUT_SECONDS,
    "result_ttl": _RQ_RESULT_TTL_SECONDS,
    "failure_ttl": _RQ_RESULT_TTL_SECONDS,
}

_PREFIX: dict[Kind, str] = {"generate": "video_", "understand": "caption_"}


def id_prefix(kind: Kind) -> str:
    """Return how the ids of a kind of job begin."""
    return _PREFIX[kind]
