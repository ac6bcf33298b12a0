"""Describes bodies that the server parses itself, so that `/docs` shows their fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

#: for a route whose successes are no JSON: FastAPI would announce its errors as what those are
JSON_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "The error envelope",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    }
}


def body_schema(model: type[BaseModel], file: str | None = None) -> dict[str, Any]:
    """Return the OpenAPI part for a body that is JSON or a form.

    Args:
        model: the fields.
        file: name of a file field that only the form has.
    """
    schema = _schema(model)
    form = schema if file is None else _with_file(schema, file)
    return _body({"application/json": schema, "multipart/form-data": form})


def form_schema(model: type[BaseModel], file: str) -> dict[str, Any]:
    """Return the OpenAPI part for a body that is a form with a file in it."""
    form = _with_file(_schema(model), file)
    return _body({"multipart/form-data": form | {"required": [file, *form.get("required", [])]}})


def json_schema(model: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """Return the OpenAPI part for a body that is JSON alone."""
    return _body({"application/json": _schema(model)}, required)


def _body(schemas: dict[str, dict[str, Any]], required: bool = True) -> dict[str, Any]:
    content = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    return {"requestBody": {"required": required, "content": content}}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    inlined: dict[str, Any] = _inlined(schema, schema.pop("$defs", {}))
    return inlined


def _with_file(schema: dict[str, Any], file: str) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary", "description": "The file"}
    return schema | {"properties": {file: binary} | schema.get("properties", {})}


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
