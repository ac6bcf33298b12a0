"""How an attempt at a job can end without a result; each says what becomes of the job."""

from __future__ import annotations

from contract.errors import ErrorCode, ErrorInfo


class JobFailed(Exception):
    """The job itself cannot be done: recorded as failed, never tried again."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


class InfrastructureLost(Exception):
    """Something that the job needs went away: tried again while retries are left."""

    code = ErrorCode.INTERNAL

    @property
    def info(self) -> ErrorInfo:
        """What the record says once no retry is left."""
        return ErrorInfo(code=self.code, message=str(self))


class EngineLost(InfrastructureLost):
    """The engine died or was restarted while it had the job."""

    code = ErrorCode.WORKER_LOST


class StorageLost(InfrastructureLost):
    """The artifact store does not take or give files."""

    code = ErrorCode.STORAGE_ERROR


class SourceLost(InfrastructureLost):
    """The server behind a URL does not answer, or fails.

    Args:
        info: what the client reads once no retry is left.
    """

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message)
        self._info = info

    @property
    def info(self) -> ErrorInfo:
        """See `InfrastructureLost`."""
        return self._info


class HandBack(Exception):
    """The slot has to go: the job returns to the front of its queue, at no retry's cost."""


class Cancelled(Exception):
    """The job's owner wants it stopped."""


class NotMine(Exception):
    """The record has moved on without this attempt: stop and touch nothing."""
