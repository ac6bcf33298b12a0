"""Who may call, and what: a key as bearer token, or anybody where there are no keys.

A key that was made with scopes may do what they name; one of the settings may do everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from contract.keys import ADMIN
from server.errors import Forbidden, Unauthorized
from server.key_ring import ANYBODY
from server.services import services_of
from server.settings import is_loopback

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


class _RequireKey(HTTPBearer):
    """The library's scheme, for WebSockets too, that also checks the key which it finds.

    One dependency: each costs a request about as much as looking the key up.
    """

    async def __call__(self, connection: HTTPConnection) -> None:
        """Let a request pass if it carries a key that may do what it asks, and note whose it is.

        Raises:
            Unauthorized: if keys are asked for and the request has none of them.
            Forbidden: if its key lacks the scope; where no key is asked for, if it does not come
                from this machine.
        """
        ring = (await services_of(connection)).key_ring
        token = _given_key(connection)
        caller = ring.recall(token) or await run_in_threadpool(ring.identify, token)
        if caller is None:
            problem = "no API key was given" if token is None else "this API key is not known"
            raise Unauthorized(
                f"{problem}; send `Authorization: Bearer KEY`",
                headers={"www-authenticate": "Bearer"},
            )
        if caller is ANYBODY:
            _check_local(connection)
        connection.state.account, connection.state.scopes = caller.account, caller.scopes
        check_scope(connection, connection.scope["path"], connection.scope.get("method", "GET"))


require_key = _RequireKey(
    scheme_name="_Bearer",
    description="One of the server's API keys; not asked for where there are none.",
)


def _given_key(connection: HTTPConnection) -> bytes | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        token = _offered_key(connection.scope.get("subprotocols", []))
    # headers arrive decoded as Latin-1, whatever the client wrote
    return token.strip().encode("latin-1") if token else None


def _offered_key(subprotocols: Sequence[str]) -> str:
    """Return the key among what a WebSocket offers: a browser can set no header of its own."""
    keys = [name for name in subprotocols if name.startswith(_KEY_PROTOCOL)]
    return keys[0].removeprefix(_KEY_PROTOCOL) if keys else ""


async def account_of(connection: HTTPConnection) -> str:
    """Return the account of the key that the router has required; empty where none is asked for."""
    account: str = connection.state.account
    return account


Account = Annotated[str, Depends(account_of)]


def check_scope(connection: HTTPConnection, path: str, method: str) -> None:
    """Refuse what the key of a request may not do, also where it asks for that in its body.

    Raises:
        Forbidden: naming the scope that it lacks.
    """
    scope = needed_scope(path, method)
    if scope is not None and scope not in connection.state.scopes:
        raise Forbidden(f"this API key has no scope {scope}; ask for one that has")


def _check_local(connection: HTTPConnection) -> None:
    """Refuse what a proxy passes on from elsewhere, and what a web page makes a browser send.

    A page of another site reaches loopback addresses too; it gives itself away by its `Origin`, or
    by its own name in `Host` where that was made to lead here.
    """
    origin = connection.headers.get("origin")
    urls = ["//" + connection.headers.get("host", ""), *([origin] if origin else [])]
    for url in urls:
        try:
            name = urlsplit(url).hostname or ""
        except ValueError:
            name = ""
        # no public site has a name without a dot
        if not (is_loopback(name) or (name and "." not in name and ":" not in name)):
            raise Forbidden(
                f"{url.removeprefix('//')[:80]!r} is not this machine, and without API keys nobody "
                "else is served; set UNIVIGU_API_KEYS or use `univigu keys create`",
                code="loopback_only",
            )


def needed_scope(path: str, method: str) -> str | None:
    """Return the scope that a request takes; None if any key will do."""
    first, _, rest = path.strip("/").partition("/")
    area = _AREAS.get(rest.partition("/")[0] if first == "v1" else first, ADMIN)
    if area in (None, ADMIN):
        return area
    return f"{area}:{'read' if method in _READING else 'write'}"
