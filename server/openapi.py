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


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI part for a body that is JSON alone."""
    schema = model.model_json_schema()
    schema = _inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """Put definitions where they are referred to: a body has no place for them in the document."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
    return {
        name: _inlined(item, definitions) for name, item in node.items() if name != "discriminator"
    }
