"""Who may call, and what: a key as bearer token, or anybody where there are no keys.

A key that was made with scopes may do what they name; one of the settings may do everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from contract.keys import ADMIN
from server.errors import Forbidden, Unauthorized
from server.key_ring import ANYBODY, Caller
from server.services import InjectedServices

#: first part of a path below `/v1` -> area whose scope it takes; None: any key will do
_AREAS = {
    "models": None,
    "queue": None,
    "usage": None,
    "videos": "videos",
    "captions": "captions",
    "chat": "captions",
    "search": "captions",
    "api": "captions",
    "files": "files",
    "uploads": "files",
    "batches": "batches",
    "webhook_endpoints": "webhooks",
    "webhook_event_types": "webhooks",
    "webhook_deliveries": "webhooks",
}
_READING = ("GET", "HEAD")
#: as OpenAI's realtime API has it
_KEY_PROTOCOL = "openai-insecure-api-key."


class _Bearer(HTTPBearer):
    """The scheme of the library, for WebSockets too."""

    async def __call__(self, connection: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            token = _offered_key(connection.scope.get("subprotocols", []))
        if not token:
            return None
        return HTTPAuthorizationCredentials(scheme="bearer", credentials=token.strip())


def _offered_key(subprotocols: Sequence[str]) -> str:
    """Return the key among what a WebSocket offers: a browser can set no header of its own."""
    keys = [name for name in subprotocols if name.startswith(_KEY_PROTOCOL)]
    return keys[0].removeprefix(_KEY_PROTOCOL) if keys else ""


_bearer = _Bearer(
    auto_error=False,
    description="One of the server's API keys; not asked for where there are none.",
)


def require_key(
    connection: HTTPConnection,
    services: InjectedServices,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """Let a request pass if it carries a key that may do what it asks.

    Returns:
        The account of the key; empty where no key is asked for.

    Raises:
        Unauthorized: if keys are asked for and the request has none of them.
        Forbidden: if its key lacks the scope.
    """
    ring = services.key_ring
    if ring.is_open():
        caller: Caller | None = ANYBODY
    else:
        # headers arrive decoded as Latin-1, whatever the client wrote
        caller = ring.identify(given.credentials.encode("latin-1")) if given else None
    if caller is None:
        problem = "this API key is not known" if given else "no API key was given"
        raise Unauthorized(
            f"{problem}; send `Authorization: Bearer KEY`", headers={"www-authenticate": "Bearer"}
        )
    scope = needed_scope(connection.scope["path"], connection.scope.get("method", "GET"))
    if scope is not None and scope not in caller.scopes:
        raise Forbidden(f"this API key has no scope {scope}; ask for one that has")
    return caller.account


Account = Annotated[str, Depends(require_key)]


def needed_scope(path: str, method: str) -> str | None:
    """Return the scope that a request takes; None if any key will do."""
    first, _, rest = path.strip("/").partition("/")
    area = _AREAS.get(rest.partition("/")[0] if first == "v1" else first, ADMIN)
    if area in (None, ADMIN):
        return area
    return f"{area}:{'read' if method in _READING else 'write'}"
