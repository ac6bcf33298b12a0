"""`/v1/videos`: a prompt becomes a video and its caption."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from contract.records import JobRecord, new_job_id
from server import jobs
from server.bodies import InjectedBody
from server.content import Content, content_response, rendered, stored
from server.dialect import validated
from server.errors import NotFound
from server.events import LastEventId, follow
from server.fields import MODEL_ID
from server.openapi import body_schema
from server.services import InjectedServices, Services
from server.video_request import VideoCreate, generate_request
from server.wire import Deleted, Page, Video, video_view

router = APIRouter(prefix="/videos", tags=["videos"])

Variant = Literal["video", "caption", "txt", "thumbnail"]


def _find(services: InjectedServices, video_id: str) -> JobRecord:
    return jobs.find(services, "generate", video_id)


Found = Annotated[JobRecord, Depends(_find)]


@router.post("", openapi_extra=body_schema(VideoCreate))
def create_video(services: InjectedServices, body: InjectedBody, response: Response) -> Video:
    """Start a video job; poll it, or follow its events."""
    request = generate_request(validated(VideoCreate, body), services.capabilities())
    services.queue.check_room("generate")
    job_id = new_job_id("generate")
    services.queue.submit(job_id, request)
    return _show(services, jobs.find(services, "generate", job_id), response)


@router.get("")
def list_videos(services: InjectedServices, paging: jobs.InjectedPaging) -> Page[Video]:
    """List video jobs."""
    return jobs.list_page(services, "generate", paging, video_view)


@router.get("/{video_id}")
def retrieve_video(services: InjectedServices, record: Found, response: Response) -> Video:
    """Return a video job; also one that failed is answered with 200."""
    return _show(services, record, response)


@router.delete("/{video_id}")
def delete_video(services: InjectedServices, record: Found) -> Deleted:
    """Delete a video job and its files; a job that is not done is stopped first."""
    jobs.delete(services, record)
    return Deleted(id=record.id, object="video.deleted")


@router.post("/{video_id}/cancel")
def cancel_video(services: InjectedServices, record: Found, response: Response) -> Video:
    """Stop a video job. It is `cancelled` once the worker has let go; an ended job stays as is."""
    services.jobs.cancel(record.id)
    return _show(services, jobs.find(services, "generate", record.id), response)


@router.get("/{video_id}/events", response_class=EventSourceResponse)
async def video_events(
    services: InjectedServices, record: Found, last_event_id: LastEventId = "0"
) -> AsyncIterator[ServerSentEvent]:
    """Follow a video job: its past events, then each new one, until it has ended."""
    async for event in follow(services, record.id, last_event_id):
        yield event


@router.head("/{video_id}/content", include_in_schema=False)
@router.get("/{video_id}/content", response_class=Response)
def video_content(
    request: Request,
    services: InjectedServices,
    record: Found,
    variant: Annotated[Variant, Query(description="Which file of the job")] = "video",
) -> Response:
    """Return the MP4, its thumbnail, or the caption as JSON or plain text; byte ranges work."""
    jobs.check_completed(record)
    return content_response(_content(services, record, variant), request)


def _show(services: Services, record: JobRecord, response: Response) -> Video:
    response.headers.update(jobs.poll_headers(record))
    return video_view(record, services.settings.retention_days)


def _content(services: Services, record: JobRecord, variant: Variant) -> Content:
    assert record.result is not None
    text = record.result.text
    if variant == "txt" and text is not None:
        return rendered(f"{text}\n".encode(), f"{record.id}.txt", "text/plain; charset=utf-8")
    if variant == "caption" and text is not None:
        video = video_view(record, services.settings.retention_days)
        facts = {"id": record.id, "caption": text, "prompt": video.prompt, "model": MODEL_ID}
        data = json.dumps(facts | {"seed": video.seed}, ensure_ascii=False).encode()
        return rendered(data, f"{record.id}.json", "application/json")
    key = record.result.artifacts.get(variant)
    if key is None:
        raise NotFound(f"{record.id} has no {variant}", code="variant_not_available")
    return stored(services.artifacts, key, record.id)
