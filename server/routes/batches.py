"""`/v1/batches`: many requests in one file, done when there is room for them."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, Query, Request

from contract.batch_records import BatchRecord, BatchStatus, new_batch_id
from server import routing
from server.auth import Account, check_scope
from server.batches.objects import (
    WINDOW_SECONDS,
    Batch,
    BatchCreate,
    BatchList,
    batch_view,
    find_batch,
    input_size,
)
from server.batches.start import start_batch
from server.bodies import InjectedBody, checked
from server.errors import InvalidRequest, NotFound
from server.openapi import json_schema
from server.pages import BracketedStatusQuery, StatusQuery, read_page
from server.repeats import InjectedOrigin, choose_id
from server.services import InjectedServices

router = routing.keyed_router("/v1/batches", "batches")


def _find(services: InjectedServices, account: Account, batch_id: str) -> BatchRecord:
    return find_batch(services, account, batch_id)


Found = Annotated[BatchRecord, Depends(_find)]


@router.post("", openapi_extra=json_schema(BatchCreate))
def create_batch(
    request: Request, services: InjectedServices, origin: InjectedOrigin, body: InjectedBody
) -> Batch:
    """Start a batch. Its input is looked at afterwards: see `status` and `errors`."""
    fields = checked(BatchCreate, body)
    check_scope(request, fields.endpoint, "POST")
    batch_id = choose_id(services, origin, new_batch_id(), fields)
    known = services.batches.get(batch_id)
    if known:
        return batch_view(known)
    now, after = time.time(), fields.output_expires_after
    record = BatchRecord(
        id=batch_id,
        account=origin.account,
        endpoint=fields.endpoint,
        input_file_id=fields.input_file_id,
        size=input_size(services, origin.account, fields.input_file_id),
        created_at=now,
        expires_at=now + WINDOW_SECONDS,
        metadata=fields.metadata,
        output_lifetime=after.seconds if after else None,
    )
    start_batch(services, record)
    return batch_view(record)


@router.get("")
def list_batches(
    services: InjectedServices,
    account: Account,
    status: StatusQuery[BatchStatus],
    bracketed_status: BracketedStatusQuery[BatchStatus],
    after: Annotated[str | None, Query(description="Start behind this id")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Batches per page")] = 20,
) -> BatchList:
    """List batches, newest first."""
    if after is not None:
        try:
            find_batch(services, account, after)
        except NotFound as error:
            raise InvalidRequest(f"after: {error.message}", param="after") from error
    statuses = {*status, *bracketed_status}

    def list_ids(limit: int, after: str | None) -> list[str]:
        return services.batches.list_ids(limit, after, account, statuses)

    records, has_more = read_page(list_ids, services.batches.get_many, limit, after, statuses)
    data = [batch_view(record) for record in records]
    return BatchList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=has_more,
    )


@router.get("/{batch_id}")
def retrieve_batch(record: Found) -> Batch:
    """Return a batch as it stands."""
    return batch_view(record)


@router.post("/{batch_id}/cancel")
def cancel_batch(services: InjectedServices, account: Account, record: Found) -> Batch:
    """Stop a batch. It is `cancelled` once its running lines have let go; an ended one stays."""
    services.batches.cancel(record.id)
    return batch_view(find_batch(services, account, record.id))
