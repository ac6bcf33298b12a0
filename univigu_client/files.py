"""What can be done with files that the server keeps, as flows."""

from __future__ import annotations

import uuid
from os import PathLike
from pathlib import Path
from typing import Any

from univigu_client.calls import Call
from univigu_client.flows import Flow, answered


def upload(
    path: str | PathLike[str],
    *,
    idempotency_key: str | None = None,
    lifetime_seconds: int | None = None,
) -> Flow[str]:
    """Keep a file on the server, to be named as `file_id`; returns that.

    Args:
        path: the file.
        idempotency_key: two calls with one key of your own keep one file.
        lifetime_seconds: an hour to 30 days; else it is kept until it is deleted.
    """
    return create_file(Path(path), "user_data", idempotency_key, lifetime_seconds)


def delete_file(file_id: str) -> Flow[None]:
    """Delete a file of `upload`."""
    yield from answered(Call("DELETE", f"/v1/files/{file_id}"))


def create_file(
    content: Path | bytes,
    purpose: str,
    idempotency_key: str | None,
    lifetime_seconds: int | None,
) -> Flow[str]:
    """Keep a file for a purpose; returns its id."""
    headers = {"idempotency-key": idempotency_key or str(uuid.uuid4())}
    form = {"purpose": purpose}
    for name, value in expiry(lifetime_seconds).items():
        form[f"expires_after[{name}]"] = str(value)
    call = Call(
        "POST", "/v1/files", form=form, upload=content, upload_field="file", headers=headers
    )
    answer = yield from answered(call)
    return str(answer.json()["id"])


def expiry(lifetime_seconds: int | None) -> dict[str, Any]:
    """Return what says how long the server keeps a file; empty where it decides."""
    if lifetime_seconds is None:
        return {}
    return {"anchor": "created_at", "seconds": lifetime_seconds}
