"""Single pictures as one upload: the worker reads them as the frames of a clip."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Sequence
from io import BytesIO

from starlette.datastructures import UploadFile

from server.errors import InvalidRequest


def pictures_upload(pictures: Sequence[str], param: str) -> UploadFile:
    """Pack pictures; the same ones give the same bytes.

    Args:
        pictures: each in base64.
        param: the request field that they come from.

    Raises:
        InvalidRequest: if one of them is empty, or not base64.
    """
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for at, picture in enumerate(pictures):
            archive.writestr(zipfile.ZipInfo(f"{at:06}"), _decoded(picture, f"{param}[{at}]"))
    size = file.tell()
    file.seek(0)
    return UploadFile(file, size=size)


def _decoded(picture: str, param: str) -> bytes:
    try:
        data = base64.b64decode(picture, validate=True)
    except ValueError as error:
        raise InvalidRequest(f"{param} is not base64: {error}", param=param) from error
    if not data:
        raise InvalidRequest(f"{param} is empty", param=param, code="empty_file")
    return data
