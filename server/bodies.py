"""Reads the body of a create request: JSON or a form, with the bracket keys that clients send.

It knows nothing of any field; `server.dialect` and the request models do.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import pydantic_core
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from server.errors import BodyTooLarge, InvalidRequest, first_error

Model = TypeVar("Model", bound=BaseModel)

#: a prompt of the greatest length, escaped in the longest way, fits twice
MAX_JSON_BYTES = 2**20
#: a video in base64; it is held in memory
MAX_LONG_JSON_BYTES = 64 * 2**20

_BRACKETS = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Body:
    """Fields and files of one request; None values are left out."""

    fields: dict[str, Any]
    #: values arrived as text and have to be read as numbers first
    is_form: bool = False
    files: dict[str, UploadFile] = field(default_factory=dict)


async def read_body(request: Request) -> AsyncIterator[Body]:
    """Parse the body by its content type; uploaded files live until the answer is sent.

    Raises:
        InvalidRequest: if it is not what its content type says.
        BodyTooLarge: if a JSON body is over `MAX_JSON_BYTES`.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        yield Body(json_object(await _read_json(request)))
    elif content_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async with request.form(max_files=8, max_fields=200) as form:
            yield _form_body(form)
    else:
        raise InvalidRequest(
            f"Content-Type {content_type!r} is not understood; send application/json or "
            "multipart/form-data",
            param="Content-Type",
            code="unsupported_content_type",
        )


InjectedBody = Annotated[Body, Depends(read_body)]


async def read_json_body(request: Request) -> Body:
    """Parse a JSON body; none at all is an object without members.

    Raises:
        InvalidRequest: if it is not JSON.
        BodyTooLarge: if it is over `MAX_JSON_BYTES`.
    """
    data = await _read_json(request)
    return Body(json_object(data) if data else {})


InjectedJsonBody = Annotated[Body, Depends(read_json_body)]


async def read_long_body(request: Request) -> Body:
    """Parse a JSON body that may hold a whole video.

    Raises:
        InvalidRequest: if it is not JSON.
        BodyTooLarge: if it is over `MAX_LONG_JSON_BYTES`.
    """
    data = await _read_json(request, MAX_LONG_JSON_BYTES)
    return Body(await run_in_threadpool(json_object, data))


InjectedLongBody = Annotated[Body, Depends(read_long_body)]


async def _read_json(request: Request, limit: int = MAX_JSON_BYTES) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise BodyTooLarge(limit)
    return bytes(data)


def json_object(data: bytes) -> dict[str, Any]:
    """Return the members of a JSON object that are not null.

    Raises:
        InvalidRequest: if it is none.
    """
    try:
        value = pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", code="invalid_json") from error
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_json")
    return without_nulls(value)


def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def _form_body(form: FormData) -> Body:
    fields: dict[str, Any] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if name in fields or name in files:
            raise InvalidRequest(f"{name} is given more than once", param=name)
        if isinstance(value, UploadFile):
            files[name] = value
        else:
            _place(fields, name, value)
    return Body(fields, is_form=True, files=files)


def _place(fields: dict[str, Any], name: str, value: str) -> None:
    """Put `a[b]=1` into {"a": {"b": "1"}}; a deeper key stays as it is and is refused later."""
    match = _BRACKETS.fullmatch(name)
    if match is None:
        fields[name] = value
        return
    outer, inner = match.groups()
    nested = fields.setdefault(outer, {})
    if not isinstance(nested, dict) or inner in nested:
        raise InvalidRequest(f"{outer} is given more than once", param=outer)
    nested[inner] = value


def checked(model: type[Model], body: Body) -> Model:
    """Check the fields of a body against a request model, just as they are.

    Raises:
        InvalidRequest: naming the field, the value and what is allowed.
    """
    refuse_files(body)
    try:
        return model.model_validate(body.fields, strict=not body.is_form)
    except ValidationError as error:
        raise first_error(error.errors()) from error


def refuse_files(body: Body) -> None:
    """Refuse the files that nobody has taken out of a body.

    Raises:
        InvalidRequest: if there is one.
    """
    for name in body.files:
        raise InvalidRequest(f"{name} is not taken as a file", param=name)


def as_text(value: Any) -> str:
    """Return a value the way a form carries it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
