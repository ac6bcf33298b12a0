"""What the server refuses or cannot do, and how that looks on the wire.

ServerError             status, code, param: rendered as the OpenAI error envelope
  InvalidRequest  400   the client can fix it; `param` names the field
  Unauthorized    401
  Forbidden       403   the key lacks a scope
  NotFound        404
  Gone            410
  BodyTooLarge    413
  RangeError      416
  Mismatch        422   the same key or id was used for another request
  JobFailed  400 | 409 | 500   the job that the request has waited for
  TooMany         429   the key has used up its share
  Unavailable     503   try again later; carries Retry-After
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from contract.errors import ErrorCode, ErrorInfo
from contract.records import Status


class ErrorDetail(BaseModel):
    """What went wrong; all four keys are always there."""

    message: str = Field(description="Sentence that names the field, the value and what is allowed")
    type: str = Field(description="`invalid_request_error`, `authentication_error`, `server_error`")
    param: str | None = Field(description="The request field at fault, if it is one field")
    code: str = Field(description="Stable word for programs")


class ErrorBody(BaseModel):
    """The body of every answer with a status of 400 and above."""

    error: ErrorDetail


class ServerError(Exception):
    """An answer with an error status."""

    status = 500
    code = "internal_error"
    type = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code
        self.headers = dict(headers or {})


class InvalidRequest(ServerError):
    """The request cannot be carried out as it is."""

    status = 400
    code = "invalid_value"
    type = "invalid_request_error"


class Unauthorized(ServerError):
    """No API key, or one that is not configured."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class Forbidden(ServerError):
    """The API key is known, and may not do this."""

    status = 403
    code = "missing_scope"
    type = "permission_error"


class NotFound(ServerError):
    """There is no such thing; asking again will not help."""

    status = 404
    code = "not_found"
    type = "invalid_request_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message, code=code, headers={"x-should-retry": "false"})


class Gone(ServerError):
    """It was there, and was deleted, or its time is over; asking again will not help."""

    status = 410
    code = "gone"
    type = "invalid_request_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message, code=code, headers={"x-should-retry": "false"})


class Mismatch(ServerError):
    """A name for one request is given to another."""

    status = 422
    code = "idempotency_mismatch"
    type = "invalid_request_error"


class BodyTooLarge(ServerError):
    """The request body is over the limit."""

    status = 413
    code = "request_too_large"
    type = "invalid_request_error"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is over the limit of {limit} bytes")


class RangeError(ServerError):
    """The range asked for lies outside the file."""

    status = 416
    code = "range_not_satisfiable"
    type = "invalid_request_error"

    def __init__(self, value: str, size: int) -> None:
        super().__init__(
            f"Range {value!r} lies outside the {size} bytes of this file",
            param="Range",
            headers={"content-range": f"bytes */{size}"},
        )


class TooMany(ServerError):
    """The key has used up its share of something.

    Args:
        message: naming what it has and the limit.
        code: of the limit.
        unit: what is counted, as headers name it, e.g. `jobs`.
        limit: how many there may be.
        left: how many more there may be.
        retry_after: seconds after which there may be room again; None if time alone makes none.
    """

    status = 429
    type = "rate_limit_error"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        unit: str,
        limit: int,
        left: int = 0,
        retry_after: int | None,
    ) -> None:
        again = {"x-should-retry": "false"}
        if retry_after is not None:
            again = {"retry-after": str(retry_after)}
        super().__init__(message, code=code, headers=again | allowance(unit, limit, left))


class JobFailed(ServerError):
    """A job that the request has waited for did not complete; trying again is another job."""

    def __init__(self, job_id: str, status: Status, error: ErrorInfo | None) -> None:
        found = error or ErrorInfo(code="cancelled", message=f"{job_id} is {status}")
        is_theirs = found.code not in (*ErrorCode,) or found.code in _OF_THE_REQUEST
        super().__init__(
            found.message,
            param=found.param,
            code=found.code,
            headers={"x-should-retry": "false", "x-job-id": job_id},
        )
        if is_theirs:
            self.status = 409 if error is None else 400
            self.type = "invalid_request_error"


#: what the client can fix; the codes of an unreadable video are no `ErrorCode`
_OF_THE_REQUEST = (
    ErrorCode.INVALID_REQUEST,
    ErrorCode.PROMPT_TOO_LONG,
    ErrorCode.CONTENT_POLICY_VIOLATION,
)


class Unavailable(ServerError):
    """Something behind the server is missing right now."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, code: str, retry_after: int = 2) -> None:
        super().__init__(message, code=code, headers={"retry-after": str(retry_after)})


def allowance(unit: str, limit: int, left: int) -> dict[str, str]:
    """Return the headers that say how many of a unit there may be, and how many more."""
    return {f"x-ratelimit-limit-{unit}": str(limit), f"x-ratelimit-remaining-{unit}": str(left)}


def error_body(error: ServerError) -> dict[str, Any]:
    """Return the envelope of an error."""
    detail = ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code)
    return ErrorBody(error=detail).model_dump()


def error_response(error: ServerError) -> JSONResponse:
    """Render an error as the envelope."""
    return JSONResponse(error_body(error), status_code=error.status, headers=error.headers)


def first_error(errors: Any) -> InvalidRequest:
    """Put the first of pydantic's findings in words: field, what is allowed, value."""
    error = errors[0]
    field = ".".join(str(part) for part in error["loc"]) or None
    if error["type"] == "missing":
        return InvalidRequest(
            f"{field} is required", param=field, code="missing_required_parameter"
        )
    if error["type"] == "extra_forbidden":
        return InvalidRequest(f"unknown field {field}", param=field, code="unknown_parameter")
    allowed = error["msg"].removeprefix("Value error, ")
    return InvalidRequest(f"{field}: {allowed}, got {shown(error['input'])}", param=field)


def shown(value: object) -> str:
    """Return a value as it may stand in a message: short, on one line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
