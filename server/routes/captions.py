"""`/v1/captions`: a video becomes its caption, or the answer to a question about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from contract.artifacts import upload_key
from contract.records import JobRecord
from contract.requests import CaptionFormat
from server import jobs, routing
from server.auth import Account
from server.bodies import InjectedBody
from server.caption_request import CaptionCreate
from server.content import content_response
from server.errors import NotFound
from server.events import LastEventId, follow_as_sse
from server.openapi import JSON_ERRORS, body_schema
from server.repeats import InjectedOrigin
from server.services import InjectedServices
from server.starting import start_caption
from server.texts import caption_text
from server.waiting import Wait
from server.wire import Caption, Deleted, Page, caption_view

router = routing.keyed_router("/v1/captions", "captions")

Format = Literal["txt"] | CaptionFormat


def _find(services: InjectedServices, account: Account, caption_id: str) -> JobRecord:
    return jobs.find(services, account, "understand", caption_id)


Found = Annotated[JobRecord, Depends(_find)]


@router.post("", openapi_extra=body_schema(CaptionCreate, file="video"))
async def create_caption(
    services: InjectedServices, origin: InjectedOrigin, body: InjectedBody, response: Response
) -> Caption:
    """Start a caption job for an uploaded `video`, or for the `video_id` of a completed job."""

    def start() -> Caption:
        record = start_caption(services, origin, body)
        return jobs.show(services, record, caption_view, response)

    return await run_in_threadpool(start)


@router.get("")
def list_captions(
    services: InjectedServices, account: Account, paging: jobs.InjectedPaging
) -> Page[Caption]:
    """List caption jobs."""
    return jobs.list_page(services, account, "understand", paging, caption_view)


@router.get("/{caption_id}")
async def retrieve_caption(
    services: InjectedServices,
    account: Account,
    caption_id: str,
    response: Response,
    wait: Wait = 0,
) -> Caption:
    """Return a caption job; also one that failed is answered with 200."""
    view = caption_view
    return await jobs.retrieve(services, account, "understand", caption_id, view, response, wait)


@router.delete("/{caption_id}")
def delete_caption(services: InjectedServices, record: Found) -> Deleted:
    """Delete a caption job and its upload; a job that is not done is stopped first."""
    jobs.delete(services, record, uploads=upload_key(record.id).rpartition("/")[0])
    return Deleted(id=record.id, object="caption.deleted")


@router.post("/{caption_id}/cancel")
def cancel_caption(services: InjectedServices, record: Found, response: Response) -> Caption:
    """Stop a caption job. It is `cancelled` once the worker has let go; an ended job stays."""
    services.queue.cancel(record)
    record = jobs.find(services, "", "understand", record.id)
    return jobs.show(services, record, caption_view, response)


@router.get("/{caption_id}/events", response_class=EventSourceResponse, responses=JSON_ERRORS)
async def caption_events(
    services: InjectedServices, record: Found, last_event_id: LastEventId = "0"
) -> AsyncIterator[ServerSentEvent]:
    """Follow a caption job: its past events, then each new one, until it has ended."""
    async for event in follow_as_sse(services, record.id, last_event_id):
        yield event


@router.head("/{caption_id}/content", include_in_schema=False)
@router.get("/{caption_id}/content", response_class=Response)
def caption_content(
    request: Request,
    services: InjectedServices,
    record: Found,
    format: Annotated[
        Format | None,
        Query(description="Default: the job's `response_format`; `txt` where it named none"),
    ] = None,
) -> Response:
    """Return the text alone, as plain text, JSON or subtitles."""
    jobs.check_completed(record)
    text = caption_text(record)
    if text is None:
        raise NotFound(f"{record.id} has no text", code="variant_not_available")
    return content_response(text.content(format), request)
