"""Where the video of a caption job comes from."""

from __future__ import annotations

from starlette.datastructures import UploadFile

from contract.records import Status
from server import jobs
from server.errors import InvalidRequest, NotFound
from server.services import Services


def check_upload(upload: UploadFile | None, video_id: str | None) -> None:
    """Require one source, and a file that is not empty.

    Raises:
        InvalidRequest: if there is no source, or two, or the file has no bytes.
    """
    if (upload is None) == (video_id is None):
        raise InvalidRequest(
            "give either a video file (multipart field `video`) or the `video_id` of a "
            "completed job",
            param="video",
            code="missing_required_parameter" if upload is None else "invalid_value",
        )
    if upload is not None and not upload.size:
        raise InvalidRequest("video is an empty file", param="video", code="empty_file")


def video_source(services: Services, account: str, video_id: str) -> str:
    """Return the artifact key of a completed video job.

    Raises:
        InvalidRequest: if there is no such job, or it has no video.
    """
    try:
        record = jobs.find(services, account, "generate", video_id)
    except NotFound as error:
        raise InvalidRequest(f"video_id: {error.message}", param="video_id") from error
    key = record.result.artifacts.get("video") if record.result else None
    if record.status is not Status.COMPLETED or key is None:
        raise InvalidRequest(
            f"video_id {video_id!r} is {record.status}; it must be completed",
            param="video_id",
            code="video_not_ready",
        )
    return key
