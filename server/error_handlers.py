"""Which exception becomes which error answer; whatever is not here ends in `server.middleware`."""

from __future__ import annotations

import logging

import obstore.exceptions
import redis
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from server.errors import ServerError, Unavailable, error_response, first_error

logger = logging.getLogger(__name__)

_REDIS_AWAY = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
)


def install_error_handlers(app: FastAPI) -> None:
    """Give every expected kind of failure its envelope."""
    app.add_exception_handler(ServerError, _server_error)
    app.add_exception_handler(RequestValidationError, _bad_parameter)
    app.add_exception_handler(WebSocketRequestValidationError, _bad_parameter)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(obstore.exceptions.BaseError, _storage_away)
    for kind in _REDIS_AWAY:
        app.add_exception_handler(kind, _redis_away)


async def _server_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServerError)
    return error_response(error)


async def _bad_parameter(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)
    # what `loc` says after query, path or header is the parameter; the rest is a place in a list
    errors = [{**found, "loc": found["loc"][1:2]} for found in error.errors()]
    return error_response(first_error(errors))


async def _http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    answer = ServerError(error.detail, code=_HTTP_CODES.get(error.status_code, "http_error"))
    answer.status = error.status_code
    answer.type = "invalid_request_error" if error.status_code < 500 else "server_error"
    answer.headers = dict(error.headers or {})
    return error_response(answer)


_HTTP_CODES = {400: "invalid_body", 404: "not_found", 405: "method_not_allowed"}


async def _redis_away(_: Request, error: Exception) -> JSONResponse:
    logger.error("redis: %r", error)
    return error_response(Unavailable("the queue does not answer", code="queue_unavailable"))


async def _storage_away(_: Request, error: Exception) -> JSONResponse:
    logger.error("artifact store: %r", error)
    message = "the artifact store does not answer"
    return error_response(Unavailable(message, code="storage_unavailable"))
