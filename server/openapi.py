"""Describes bodies that the server parses itself, so that `/docs` shows their fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def body_schema(model: type[BaseModel], file: str | None = None) -> dict[str, Any]:
    """Return the OpenAPI part for a body that is JSON or a form.

    Args:
        model: the fields.
        file: name of a file field that only the form has.
    """
    schema = model.model_json_schema()
    form = schema
    if file is not None:
        binary = {"type": "string", "format": "binary", "description": "The video file"}
        form = schema | {"properties": {file: binary} | schema["properties"]}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}
