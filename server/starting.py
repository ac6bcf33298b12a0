"""From a request body to a job: checked, told from its repeats, recorded and enqueued."""

from __future__ import annotations

from contract.artifacts import upload_key
from contract.records import JobRecord
from server.bodies import Body
from server.caption_request import CaptionCreate, understand_request
from server.dialect import validated
from server.errors import Gone, TooMany, Unavailable
from server.limits import check_storage, storage_for
from server.policy import check_text
from server.repeats import Origin, reserve, submit
from server.services import Services
from server.sources import find_source
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
    check_storage(services, origin.account)
    return submit(services, reserved, request, webhook_url=webhook_url)


def start_caption(services: Services, origin: Origin, body: Body) -> JobRecord:
    """Start a caption job, or return the one that this request has started before.

    Raises:
        ServerError: if it cannot be started; no job has been made then.
    """
    upload = body.files.pop("video", None)
    fields = validated(CaptionCreate, body)
    check_text(services, fields.instruction, "instruction")
    source = find_source(services, origin.account, fields, upload)
    request = understand_request(fields, source.key, services.capabilities(), source.name)
    file = source.file
    reserved = reserve(services, origin, "understand", fields, file)
    if reserved.known:
        return reserved.known
    webhook_url = checked_url(services, fields.webhook_url)
    services.queue.check_room("understand", origin.account)
    size = (file.size or 0) if file is not None else 0
    with storage_for(services, origin.account, reserved.job_id, size):
        if file is not None:
            request = request.model_copy(update={"source": upload_key(reserved.job_id)})
            services.artifacts.put(request.source, file.file, "application/octet-stream")
        try:
            return submit(services, reserved, request, webhook_url=webhook_url, input_bytes=size)
        except (Gone, TooMany, Unavailable):
            # nobody else would delete it; but a repeat of this may have been let in with it
            if services.jobs.get(reserved.job_id) is None:
                services.artifacts.delete(upload_key(reserved.job_id))
            raise
