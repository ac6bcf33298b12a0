"""Many requests in one: how a batch is made, waited for and read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from univigu_client.answers import ApiError, Job, Kind, StillRunning, read_error, read_job
from univigu_client.calls import Call
from univigu_client.files import create_file, expiry
from univigu_client.flows import SHORT_SECONDS, Flow, Pause, answered

_ENDS = ("completed", "failed", "cancelled", "expired")
_PAUSE_SECONDS = 2.0

OnBatch = Callable[["Batch"], None]
#: of each request by its name: its job, or why there is none that has completed
Outcomes = dict[str, Job | ApiError]


@dataclass(frozen=True)
class Batch:
    """Many requests of one kind as last seen: how many there are, and how far they have come."""

    kind: Kind
    id: str
    status: str
    total: int
    completed: int
    failed: int
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    #: why the requests are no batch
    errors: str | None

    @property
    def path(self) -> str:
        """Where the server has it."""
        return f"/v1/batches/{self.id}"

    @property
    def has_ended(self) -> bool:
        """Whether it never changes again."""
        return self.status in _ENDS


def create_batch(
    kind: Kind,
    requests: Mapping[str, Mapping[str, Any]],
    *,
    idempotency_key: str | None = None,
    lifetime_seconds: int | None = None,
) -> Flow[Batch]:
    """Start many jobs: each request by a name of your own, with its fields.

    Args:
        kind: of all of them.
        requests: the fields of each.
        idempotency_key: two calls with one key of your own make one batch.
        lifetime_seconds: how long the outcomes are kept, an hour to 30 days; else 30 days.

    Raises:
        ApiError: `too_many_batches` at once, since one may last for hours.
    """
    url = f"/v1/{kind}"
    lines = [
        json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body})
        for name, body in requests.items()
    ]
    content = "\n".join(lines).encode()
    file_id = yield from create_file(content, "batch", idempotency_key, lifetime_seconds)
    body: dict[str, Any] = {
        "input_file_id": file_id,
        "endpoint": url,
        "completion_window": "24h",
        "output_expires_after": expiry(lifetime_seconds) or None,
    }
    headers = {"idempotency-key": file_id}
    answer = yield from answered(Call("POST", "/v1/batches", json=body, headers=headers))
    return _read(answer.json())


def retrieve_batch(batch_id: str) -> Flow[Batch]:
    """Return a batch as it stands."""
    answer = yield from answered(Call("GET", f"/v1/batches/{batch_id}"))
    return _read(answer.json())


def wait_batch(
    batch: Batch, on_progress: OnBatch | None = None, timeout: float | None = None
) -> Flow[Batch]:
    """Return the batch once it has ended; as `wait` does.

    Raises:
        StillRunning: when `timeout` seconds are over.
    """
    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    while not batch.has_ended:
        left = deadline - time.monotonic()
        if left <= 0:
            raise StillRunning(f"{batch.id} is still {batch.status} after {timeout:g} s")
        yield Pause(min(_PAUSE_SECONDS, left))
        batch = yield from retrieve_batch(batch.id)
        if on_progress:
            on_progress(batch)
    return batch


def cancel_batch(batch: Batch) -> Flow[Batch]:
    """Ask for a batch to stop, once."""
    call = Call("POST", f"{batch.path}/cancel", timeout=SHORT_SECONDS)
    answer = yield from answered(call, tries=1)
    return _read(answer.json())


def outcomes(batch: Batch) -> Flow[Outcomes]:
    """Return the job, or the error, of each request of an ended batch."""
    found: Outcomes = {}
    for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
        answer = yield from answered(Call("GET", f"/v1/files/{file_id}/content"))
        for line in map(json.loads, answer.content.splitlines()):
            found[line["custom_id"]] = _outcome(batch.kind, line)
    return found


def _outcome(kind: Kind, line: Mapping[str, Any]) -> Job | ApiError:
    response = line["response"]
    if response is None:
        return read_error(0, line["error"])
    if "error" in response["body"] and "id" not in response["body"]:
        return read_error(response["status_code"], response["body"]["error"])
    return read_job(kind, response["body"])


def _read(fields: Mapping[str, Any]) -> Batch:
    counts, errors = fields["request_counts"], fields["errors"]
    kinds: dict[str, Kind] = {"/v1/videos": "videos", "/v1/captions": "captions"}
    return Batch(
        kind=kinds[fields["endpoint"]],
        id=fields["id"],
        status=fields["status"],
        total=counts["total"],
        completed=counts["completed"],
        failed=counts["failed"],
        input_file_id=fields["input_file_id"],
        output_file_id=fields["output_file_id"],
        error_file_id=fields["error_file_id"],
        errors="; ".join(error["message"] for error in errors["data"]) if errors else None,
    )
