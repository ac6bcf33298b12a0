"""What surrounds every request: its id, the limit on its body, the last resort on a defect."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable

from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import BodyTooLarge, ServerError, error_response

logger = logging.getLogger(__name__)

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestBoundary:
    """Names the request, and turns an unexpected exception into a 500 that quotes the name.

    It also counts answers by route and status. A client's own `X-Request-Id` is kept if it is
    plain. The traceback goes to the log only.
    """

    def __init__(self, app: ASGIApp, count: Callable[[str, str, int], None]) -> None:
        self.app = app
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = _request_id(scope)
        trace.get_current_span().set_attribute("http.response.header.x-request-id", [request_id])
        started = False

        async def send_named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers.update(scope.get("state", {}).get("headers", {}))
                self.count(scope["method"], _route(scope), message["status"])
            await send(message)

        try:
            await self.app(scope, receive, send_named)
        except ClientDisconnect:
            logger.info("request %s: the client has left", request_id)
        except Exception:
            logger.exception("request %s failed: %s", request_id, scope["path"])
            if not started:
                error = ServerError(f"a defect of this server; quote request {request_id}")
                await error_response(error)(scope, receive, send_named)


class BodyLimit:
    """Refuses a body over the limit before it is read, or where no length is declared, while."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "")
        total = int(declared) if declared.isdecimal() else 0
        counted = 0

        async def receive_counted() -> Message:
            nonlocal counted
            if total > self.max_bytes:
                raise BodyTooLarge(self.max_bytes)
            message = await receive()
            counted += len(message.get("body", b""))
            if counted > self.max_bytes:
                raise BodyTooLarge(self.max_bytes)
            return message

        await self.app(scope, receive_counted, send)


def _route(scope: Scope) -> str:
    """Return the path with its parameters unfilled: everybody could make up new ones."""
    if "route" not in scope:
        return "none"
    names = {str(value): f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    return "/".join(names.get(part, part) for part in scope["path"].split("/"))


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _CLIENT_ID.fullmatch(given) else "req_" + secrets.token_hex(12)
