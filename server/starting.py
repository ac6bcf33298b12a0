"""From a request body to a job: checked, told from its repeats, recorded and enqueued."""

from __future__ import annotations

from contract.artifacts import upload_key
from contract.records import JobRecord
from server.bodies import Body
from server.caption_request import CaptionCreate, understand_request
from server.dialect import validated
from server.policy import check_text
from server.repeats import Origin, reserve, submit
from server.services import Services
from server.sources import check_upload, video_source
from server.video_request import VideoCreate, generate_request
from server.webhooks import checked_url


def start_video(services: Services, origin: Origin, body: Body) -> JobRecord:
    """Start a video job, or return the one that this request has started before.

    Raises:
        ServerError: if it cannot be started; no job has been made then.
    """
    fields = validated(VideoCreate, body)
    check_text(services, fields.prompt, "prompt")
    request = generate_request(fields, services.capabilities())
    reserved = reserve(services, origin, "generate", fields)
    if reserved.known:
        return reserved.known
    webhook_url = checked_url(services, fields.webhook_url)
    services.queue.check_room("generate", origin.account)
    return submit(services, reserved, request, webhook_url=webhook_url)


def start_caption(services: Services, origin: Origin, body: Body) -> JobRecord:
    """Start a caption job, or return the one that this request has started before.

    Raises:
        ServerError: if it cannot be started; no job has been made then.
    """
    upload = body.files.pop("video", None)
    fields = validated(CaptionCreate, body)
    check_text(services, fields.instruction, "instruction")
    check_upload(upload, fields.video_id)
    video = fields.video_id and video_source(services, origin.account, fields.video_id)
    request = understand_request(fields, video or "", services.capabilities())
    reserved = reserve(services, origin, "understand", fields, upload)
    if reserved.known:
        return reserved.known
    webhook_url = checked_url(services, fields.webhook_url)
    services.queue.check_room("understand", origin.account)
    if upload is not None:
        request = request.model_copy(update={"source": upload_key(reserved.job_id)})
        services.artifacts.put(request.source, upload.file, "application/octet-stream")
    return submit(services, reserved, request, webhook_url=webhook_url)
