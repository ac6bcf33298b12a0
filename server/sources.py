"""Where the video of a caption job comes from: an upload, a URL, a file kept here, a video job."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath
from urllib.parse import urlsplit

from starlette.datastructures import UploadFile

from contract.addresses import NoAnswer, check_public, check_url
from contract.artifacts import file_key
from contract.records import Status
from contract.requests import SourceName
from server import jobs
from server.caption_request import CaptionCreate
from server.errors import InvalidRequest, NotFound, Unavailable, shown
from server.files import MAX_NAME_CHARACTERS, source_file
from server.pictures import pictures_upload
from server.services import Services

#: a signed URL of a bucket fits several times
MAX_URL_CHARACTERS = 8192
_DATA_URL = re.compile(
    r"data:(?:video/(?!jpeg)[\w.+-]+|application/octet-stream);base64,", re.ASCII
)
#: single frames, one after another with commas between them
_PICTURES = "data:video/jpeg;base64,"


@dataclass(frozen=True)
class Source:
    """A video, and what its client calls it."""

    #: artifact key or URL that the worker reads; empty where a file has to be stored for it first
    key: str = ""
    file: UploadFile | None = None
    name: SourceName | None = None


def find_source(
    services: Services, account: str, fields: CaptionCreate, upload: UploadFile | None
) -> Source:
    """Return the one source of a request.

    Raises:
        InvalidRequest: if there is no source, or more than one, or it gives no video.
    """
    given = {"video": upload} | fields.model_dump(include={"video_url", "file_id", "video_id"})
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise InvalidRequest(
            f"a caption needs one of {', '.join(given)} (`video` as a file of a form); "
            f"given: {', '.join(named) or 'none'}",
            param="video",
            code="invalid_value" if named else "missing_required_parameter",
        )
    if fields.video_id is not None:
        key = _of_job(services, account, fields.video_id)
        return Source(key, name=SourceName(video_id=fields.video_id))
    if fields.file_id is not None:
        kept = source_file(services, account, fields.file_id)
        return Source(file_key(kept.id), name=SourceName(file_id=kept.id, filename=kept.filename))
    if fields.video_url is not None and not fields.video_url.startswith("data:"):
        url = _checked(services, fields.video_url)
        return Source(url, name=SourceName(video_url=_without_credentials(url)))
    file = upload or _decoded(fields.video_url or "")
    if not file.size:
        raise InvalidRequest(f"{named[0]} is an empty file", param=named[0], code="empty_file")
    return Source(file=file, name=_file_name(file))


def _file_name(file: UploadFile) -> SourceName | None:
    name = PurePath(file.filename or "").name[:MAX_NAME_CHARACTERS]
    return SourceName(filename=name) if name else None


def _without_credentials(url: str) -> str:
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _of_job(services: Services, account: str, video_id: str) -> str:
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


def _checked(services: Services, url: str) -> str:
    """Refuse at once what the worker would refuse to connect to; it looks again when it does."""
    allow_private = services.settings.allow_private_urls
    try:
        if len(url) > MAX_URL_CHARACTERS:
            raise ValueError(f"{len(url)} characters; allowed: {MAX_URL_CHARACTERS}")
        check_public(*check_url(url, allow_private), allow_private)
    except NoAnswer as error:
        raise Unavailable(f"video_url: {error}", code="host_not_found_now") from error
    except ValueError as error:
        message = f"video_url: {error}"
        raise InvalidRequest(message, param="video_url", code="url_not_allowed") from error
    return url


def _decoded(url: str) -> UploadFile:
    if url.startswith(_PICTURES):
        return pictures_upload(url.removeprefix(_PICTURES).split(","), "video_url")
    match = _DATA_URL.match(url)
    if match is None:
        raise InvalidRequest(
            f"video_url {shown(url[:40])} is not taken; allowed: data:video/mp4;base64,...",
            param="video_url",
            code="unsupported_parameter",
        )
    try:
        data = base64.b64decode(url[match.end() :], validate=True)
    except ValueError as error:
        message = f"video_url is not base64: {error}"
        raise InvalidRequest(message, param="video_url") from error
    return UploadFile(BytesIO(data), size=len(data))
