"""`/v1/videos`: a prompt becomes a video and its caption."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from contract.records import JobRecord
from server import jobs, routing
from server.auth import Account
from server.bodies import Body, InjectedBody
from server.content import Content, content_response, stored
from server.errors import InvalidRequest, NotFound
from server.events import LastEventId, find_preview, follow_as_sse
from server.openapi import JSON_ERRORS, body_schema
from server.repeats import InjectedOrigin, Origin
from server.services import InjectedServices, Services
from server.starting import start_video
from server.texts import video_text
from server.video_request import VideoCreate
from server.waiting import Wait
from server.wire import Deleted, Page, Video, video_view

router = routing.keyed_router("/v1/videos", "videos")

#: a path segment, and a name in Redis and in the artifact store
_CHOSEN_ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
#: paths beside the jobs
_RESERVED = ("models", "sync")

Variant = Literal["video", "thumbnail", "spritesheet", "preview", "caption", "txt", "vtt", "srt"]
#: variants made from the record, and their format
_TEXTS = {"caption": "json", "txt": "txt", "vtt": "vtt", "srt": "srt"}


def _find(services: InjectedServices, account: Account, video_id: str) -> JobRecord:
    return jobs.find(services, account, "generate", video_id)


Found = Annotated[JobRecord, Depends(_find)]


@router.post("", openapi_extra=body_schema(VideoCreate))
async def create_video(
    services: InjectedServices, origin: InjectedOrigin, body: InjectedBody, response: Response
) -> Video:
    """Start a video job; poll it, or follow its events."""
    return await run_in_threadpool(_start, services, origin, body, response)


@router.put("/{video_id}", openapi_extra=body_schema(VideoCreate))
async def put_video(
    services: InjectedServices,
    origin: InjectedOrigin,
    body: InjectedBody,
    video_id: Annotated[str, Path(pattern=_CHOSEN_ID)],
    response: Response,
) -> Video:
    """Start a video job under an id of your own; repeats of the request get the same job."""
    if video_id in _RESERVED:
        raise InvalidRequest(f"video_id {video_id!r} is reserved", param="video_id")
    chosen = replace(origin, chosen_id=video_id)
    return await run_in_threadpool(_start, services, chosen, body, response)


def _start(services: Services, origin: Origin, body: Body, response: Response) -> Video:
    return jobs.show(services, start_video(services, origin, body), video_view, response)


@router.get("")
def list_videos(
    services: InjectedServices, account: Account, paging: jobs.InjectedPaging
) -> Page[Video]:
    """List video jobs."""
    return jobs.list_page(services, account, "generate", paging, video_view)


@router.get("/{video_id}")
async def retrieve_video(
    services: InjectedServices, account: Account, video_id: str, response: Response, wait: Wait = 0
) -> Video:
    """Return a video job; also one that failed is answered with 200."""
    view = video_view
    return await jobs.retrieve(services, account, "generate", video_id, view, response, wait)


@router.delete("/{video_id}")
def delete_video(services: InjectedServices, record: Found) -> Deleted:
    """Delete a video job and its files; a job that is not done is stopped first."""
    jobs.delete(services, record)
    return Deleted(id=record.id, object="video.deleted")


@router.post("/{video_id}/cancel")
def cancel_video(services: InjectedServices, record: Found, response: Response) -> Video:
    """Stop a video job. It is `cancelled` once the worker has let go; an ended job stays as is."""
    services.queue.cancel(record)
    return jobs.show(services, jobs.find(services, "", "generate", record.id), video_view, response)


@router.get("/{video_id}/events", response_class=EventSourceResponse, responses=JSON_ERRORS)
async def video_events(
    services: InjectedServices, record: Found, last_event_id: LastEventId = "0"
) -> AsyncIterator[ServerSentEvent]:
    """Follow a video job: its past events, then each new one, until it has ended."""
    async for event in follow_as_sse(services, record.id, last_event_id):
        yield event


@router.head("/{video_id}/content", include_in_schema=False)
@router.get("/{video_id}/content", response_class=Response)
def video_content(
    request: Request,
    services: InjectedServices,
    record: Found,
    variant: Annotated[Variant, Query(description="Which file of the job")] = "video",
    step: Annotated[
        int | None, Query(ge=1, description="Of `preview`: which step's; else the latest one")
    ] = None,
    redirect: Annotated[
        bool, Query(description="Where files are in a bucket, answer 302 with a signed URL there")
    ] = False,
) -> Response:
    """Return the MP4, its pictures or its caption; byte ranges work.

    A preview is there as soon as its event is, and as long as the job.
    """
    if step is not None and variant != "preview":
        raise InvalidRequest(f"step {step} is for variant=preview", param="step")
    if variant == "preview":
        content = _preview(services, record, step)
    else:
        jobs.check_completed(record)
        content = _content(services, record, variant)
    return content_response(content, request, redirect=redirect)


def _preview(services: Services, record: JobRecord, step: int | None) -> Content:
    key = find_preview(services, record.id, step)
    if key is None:
        which = "preview" if step is None else f"preview of step {step}"
        raise NotFound(f"{record.id} has no {which}", code="variant_not_available")
    return stored(services.artifacts, key, record.id)


def _content(services: Services, record: JobRecord, variant: Variant) -> Content:
    assert record.result is not None
    text = video_text(record)
    if variant in _TEXTS and text is not None:
        return text.content(_TEXTS[variant])
    key = record.result.artifacts.get(variant)
    if key is None:
        raise NotFound(f"{record.id} has no {variant}", code="variant_not_available")
    return stored(services.artifacts, key, record.id)
