"""Where routes are collected: each router says in full where its routes are and what they share.

None is included in another, and the application has the routes of all in one list: FastAPI matches
a request once more for every level of routers, a sixth of the CPU of a create request.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from server.auth import require_key
from server.errors import ErrorBody

#: "default" stands for every error; without it 422 would be announced, which is never sent
_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": ErrorBody, "description": "The error envelope"}
}


def keyed_router(prefix: str, tag: str) -> APIRouter:
    """Return a router whose routes, all below a prefix, ask for a key."""
    return APIRouter(
        prefix=prefix, tags=[tag], dependencies=[Depends(require_key)], responses=_ERRORS
    )


def open_router(tag: str) -> APIRouter:
    """Return a router whose routes anybody may use."""
    return APIRouter(tags=[tag], responses=_ERRORS)
