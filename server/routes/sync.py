"""`/v1/videos/sync`: the video itself as the answer, where it is ready soon enough."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from contract.records import JobRecord, Status
from server import jobs, routing
from server.bodies import InjectedBody
from server.content import content_response, stored
from server.errors import JobFailed
from server.fields import MODEL_ID
from server.openapi import body_schema
from server.repeats import InjectedOrigin
from server.services import InjectedServices, Services
from server.starting import start_video
from server.video_request import VideoCreate
from server.waiting import until_ended
from server.wire import Video, video_view

router = routing.keyed_router("/v1/videos", "videos")

MAX_SECONDS = 300


@router.post(
    "/sync",
    openapi_extra=body_schema(VideoCreate),
    response_class=Response,
    responses={
        200: {"content": {"video/mp4": {}}, "description": "The MP4, with `X-*` headers"},
        202: {"model": Video, "description": "It takes longer: the job, to be polled"},
    },
)
async def create_video_sync(
    request: Request,
    services: InjectedServices,
    origin: InjectedOrigin,
    body: InjectedBody,
    wait: Annotated[
        float,
        Query(ge=0, le=MAX_SECONDS, allow_inf_nan=False, description="Seconds until 202"),
    ] = MAX_SECONDS,
) -> Response:
    """Make a video and answer with the MP4; a job that takes longer than `wait` goes on."""
    record = await run_in_threadpool(start_video, services, origin, body)
    record = await until_ended(services, record, wait)
    if not record.status.is_terminal:
        video = await run_in_threadpool(jobs.show, services, record, video_view)
        headers = jobs.poll_headers(record) | {"location": f"/v1/videos/{record.id}"}
        return JSONResponse(video.model_dump(mode="json"), 202, headers)
    return await run_in_threadpool(_video, services, record, request)


def _video(services: Services, record: JobRecord, request: Request) -> Response:
    if record.status is not Status.COMPLETED:
        raise JobFailed(record.id, record.status, record.error)
    assert record.result is not None
    content = stored(services.artifacts, record.result.artifacts["video"], record.id)
    response = content_response(content, request)
    response.headers.update(_facts(record))
    return response


def _facts(record: JobRecord) -> dict[str, str]:
    result = record.result
    assert result is not None
    assert record.started_at is not None
    assert record.completed_at is not None
    facts = {
        "x-job-id": record.id,
        "x-model": MODEL_ID,
        "x-seed": str(result.seed),
        "x-inference-time-s": f"{record.completed_at - record.started_at:.3f}",
        "x-stage-durations": json.dumps(result.stage_durations),
    }
    if result.peak_memory_mb is not None:
        facts["x-peak-memory-mb"] = f"{result.peak_memory_mb:.1f}"
    return facts
