"""What can be done with a job of either kind: find, list, cancel, delete."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query, Response
from fastapi.concurrency import run_in_threadpool

from contract.artifacts import job_folder
from contract.queues import Kind
from contract.records import JobRecord, Status
from server.errors import Gone, InvalidRequest, NotFound
from server.outlook import outlooks
from server.pages import BracketedStatusQuery, StatusQuery, read_page
from server.services import Services
from server.waiting import until_ended
from server.wire import SECONDS_PER_DAY, Item, Page, View

NAMES: dict[Kind, Literal["video", "caption"]] = {"generate": "video", "understand": "caption"}


@dataclass(frozen=True)
class Paging:
    """Which page of a list."""

    status: StatusQuery[Status]
    bracketed_status: BracketedStatusQuery[Status]
    after: Annotated[str | None, Query(description="Start behind this id")] = None
    limit: Annotated[int, Query(ge=0, le=100, description="Jobs per page")] = 20
    order: Annotated[Literal["asc", "desc"], Query(description="By creation time")] = "desc"


InjectedPaging = Annotated[Paging, Depends()]


def find(services: Services, account: str, kind: Kind, job_id: str) -> JobRecord:
    """Return a job of an account; the empty account has the jobs of all.

    Raises:
        NotFound: if there is none, or it is of the other kind or of another account.
        Gone: if there was one until its time was over.
    """
    record = services.jobs.get(job_id)
    if record is None and services.jobs.has_expired(job_id, kind, account):
        raise _expired(kind, job_id)
    if record is None or record.kind != kind or account not in ("", record.account):
        raise NotFound(f"{NAMES[kind]} {job_id!r} does not exist")
    # its files may be deleted by now: they go together with the record, or not at all
    age = time.time() - (record.completed_at or time.time())
    if age > services.settings.retention_days * SECONDS_PER_DAY:
        raise _expired(kind, job_id)
    return record


def _expired(kind: Kind, job_id: str) -> Gone:
    return Gone(f"{NAMES[kind]} {job_id!r} has expired", code="expired")


def list_page(
    services: Services, account: str, kind: Kind, paging: Paging, view: View[Item]
) -> Page[Item]:
    """Return one page of an account's jobs of a kind.

    Raises:
        InvalidRequest: if `after` names no such job.
    """
    if paging.after is not None:
        try:
            find(services, account, kind, paging.after)
        except (NotFound, Gone) as error:
            raise InvalidRequest(f"after: {error.message}", param="after") from error
    newest_first = paging.order == "desc"
    statuses = {*paging.status, *paging.bracketed_status}

    def list_ids(limit: int, after: str | None) -> list[str]:
        return services.jobs.list_ids(kind, limit, after, newest_first, account, statuses)

    records, has_more = read_page(
        list_ids, services.jobs.get_many, paging.limit, paging.after, statuses
    )
    data = view_all(services, records, view)
    return Page(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=has_more,
    )


def view_all(services: Services, records: list[JobRecord], view: View[Item]) -> list[Item]:
    """Return what a client reads of some jobs now."""
    days = services.settings.retention_days
    expected = outlooks(services, records)
    return [view(record, days, outlook) for record, outlook in zip(records, expected, strict=True)]


def show(
    services: Services, record: JobRecord, view: View[Item], response: Response | None = None
) -> Item:
    """Return what a client reads of a job now, and pace its polling."""
    if response is not None:
        response.headers.update(poll_headers(record))
    (item,) = view_all(services, [record], view)
    return item


async def retrieve(
    services: Services,
    account: str,
    kind: Kind,
    job_id: str,
    view: View[Item],
    response: Response,
    wait: float = 0,
) -> Item:
    """Return what a client reads of a job of an account, once it has ended or `wait` is over.

    Args:
        services: the connections of this process.
        account: whose job it has to be.
        kind: what it has to be.
        job_id: which.
        view: how a client reads it.
        response: gets the headers that pace its polling.
        wait: seconds.

    Raises:
        NotFound: if there is no such job, or it is deleted meanwhile.
        Gone: if there was one until its time was over.
    """

    def look() -> JobRecord:
        return find(services, account, kind, job_id)

    if not wait:  # one thread for all that it takes: another one is waited for where many ask
        return await run_in_threadpool(lambda: show(services, look(), view, response))
    record = await until_ended(services, await run_in_threadpool(look), wait)
    return await run_in_threadpool(show, services, record, view, response)


def delete(services: Services, record: JobRecord, uploads: str | None = None) -> None:
    """Stop a job if it runs, and forget it with its files.

    The slot of a running job finds no record at its next step and lets go.
    """
    services.queue.cancel(record)
    services.artifacts.delete_all(job_folder(record.id))
    if uploads is not None:
        services.artifacts.delete_all(uploads)
    services.jobs.delete(record.id)


def check_completed(record: JobRecord) -> None:
    """Refuse to hand out what is not there yet, or never will be.

    Raises:
        NotFound: if the job has not completed.
    """
    if record.status is not Status.COMPLETED:
        why = f": {record.error.message}" if record.error else ""
        raise NotFound(
            f"{record.id} is {record.status}{why}", code=f"{NAMES[record.kind]}_not_ready"
        )


def poll_headers(record: JobRecord) -> dict[str, str]:
    """Return the headers by which clients pace their polling; the second is whole seconds."""
    if record.status.is_terminal:
        return {}
    return {"openai-poll-after-ms": "500", "retry-after": "1"}
