"""Recognises a create request that was sent before, so that it makes no second job.

What names a request is written before the job, with the id that the job will have: whoever comes
next with the same request, after whatever died, goes on with that id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from contract.queues import Kind
from contract.records import JobRecord, new_job_id
from contract.requests import JobRequest
from server.auth import account_of
from server.errors import Mismatch
from server.limits import limit_rate
from server.services import Services, services_of

#: an id is forgotten no sooner than this after its job was deleted
KEY_SECONDS = 86_400
#: the `openai` client gives up a try after ten minutes, and waits up to two before the next
RETRY_SECONDS = 900


@dataclass(frozen=True)
class Origin:
    """Who asks for a job, and by what a repeat of the request can be told."""

    account: str
    idempotency_key: str | None = None
    #: how often the client has tried before; None where it does not count
    retries: int | None = None
    #: the id that the client has chosen
    chosen_id: str | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether a repeat of the request has to be found."""
        return (self.idempotency_key, self.retries, self.chosen_id) != (None, None, None)


async def _origin(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="Repeats of the request with this key get the first one's job, for a day",
        ),
    ] = None,
    x_stainless_retry_count: Annotated[str, Header(include_in_schema=False)] = "",
) -> Origin:
    # asked for here, and not as dependencies: each of those costs as much as the rate limit itself
    services, account = await services_of(request), await account_of(request)
    await limit_rate(request, services, account)
    count = x_stainless_retry_count
    return Origin(account, idempotency_key, int(count[:9]) if count.isdecimal() else None)


InjectedOrigin = Annotated[Origin, Depends(_origin)]


@dataclass(frozen=True)
class Reserved:
    """The id for the job of a request, and the job if there is one by now."""

    job_id: str
    origin: Origin
    fingerprint: str
    known: JobRecord | None = None


def reserve(
    services: Services,
    origin: Origin,
    kind: Kind,
    fields: BaseModel,
    file: UploadFile | None = None,
) -> Reserved:
    """Find or choose the id of a request's job.

    Raises:
        Mismatch: if its key or its id was used for another request.
    """
    if not origin.is_repeatable:
        return Reserved(new_job_id(kind), origin, "")
    fingerprint = _fingerprint(kind, fields, file)
    job_id = origin.chosen_id or _remembered(services, origin, new_job_id(kind), fingerprint)
    known = services.jobs.get(job_id)
    if known:
        _check_same(known, origin, fingerprint)
    return Reserved(job_id, origin, fingerprint, known)


def submit(services: Services, reserved: Reserved, request: JobRequest, **fields: Any) -> JobRecord:
    """Start the job of a request, unless a repeat has started it meanwhile.

    `fields` are further ones of `JobStore.create`.

    Raises:
        Gone: if that job was deleted.
        Mismatch: if the id was taken by another request meanwhile.
    """
    origin, job_id = reserved.origin, reserved.job_id
    record = services.queue.submit(job_id, request, origin.account, reserved.fingerprint, **fields)
    _check_same(record, origin, reserved.fingerprint)
    return record


def choose_id(
    services: Services,
    origin: Origin,
    fresh_id: str,
    fields: BaseModel,
    file: UploadFile | None = None,
) -> str:
    """Return the id of what a request makes beside jobs: that of an earlier try, or the fresh one.

    Raises:
        Mismatch: if its key was used for another request.
    """
    if not origin.is_repeatable:
        return fresh_id
    kind = type(fields).__name__
    return _remembered(services, origin, fresh_id, _fingerprint(kind, fields, file))


def _check_same(record: JobRecord, origin: Origin, fingerprint: str) -> None:
    if (record.account, record.fingerprint) != (origin.account, fingerprint):
        raise Mismatch(f"{record.id!r} is the id of another request")


def _remembered(services: Services, origin: Origin, fresh_id: str, fingerprint: str) -> str:
    """Return the id under which the request is known, noting the fresh one if it is new."""
    key, fresh = origin.idempotency_key, f"{fresh_id} {fingerprint}"
    if key is not None:
        name, seconds = f"key:{hashlib.sha256(key.encode()).hexdigest()}", KEY_SECONDS
    else:
        name, seconds = f"retry:{fingerprint}", RETRY_SECONDS
    # the first try of a client is a wish of its own, even if its body is that of an earlier one
    is_repeat = key is not None or bool(origin.retries)
    earlier: Any = services.redis.set(
        f"univigu:once:{origin.account}:{name}", fresh, ex=seconds, nx=is_repeat, get=True
    )
    noted = earlier.decode() if is_repeat and earlier else fresh
    job_id, _, noted_fingerprint = noted.partition(" ")
    if noted_fingerprint != fingerprint:
        raise Mismatch(f"Idempotency-Key {key!r} was used for another request")
    return str(job_id)


def _fingerprint(kind: str, fields: BaseModel, file: UploadFile | None) -> str:
    digest = hashlib.sha256(f"{kind} {fields.model_dump_json(exclude_unset=True)}".encode())
    if file is not None:
        digest.update(hashlib.file_digest(file.file, "sha256").digest())  # type: ignore[arg-type]
        file.file.seek(0)
    return digest.hexdigest()
