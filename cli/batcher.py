"""Gathers caption requests of many threads into batches, and hands each its outcome.

Two batches at a time are on their way: what is sent while they last makes up the next one. The
server paces them, so that they keep nobody else waiting.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from cli.sent import KEPT_SECONDS, Body, Outcome, SentLines
from univigu_client import ApiError, Batch, Client, Job

_MAX_BATCHES = 2
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 10.0
#: how long a server may give no answer before its batches are given up
_AWAY_SECONDS = 600.0
#: others of the same key go on meanwhile
_BUSY_CODES = ("too_many_batches", "rate_limit_exceeded")


@dataclass
class Line:
    """A request on its way; `done` and `total` are lines of its batch.

    `is_over` says, once there is an outcome, that no batch goes on with the request's file.
    """

    body: Body
    outcome: Future[Outcome] = field(default_factory=Future)
    done: int = 0
    total: int = 0
    is_over: bool = False


@dataclass
class _Group:
    """The lines of one batch that somebody waits for."""

    lines: dict[str, Line]
    #: made by this call, and not by an earlier one
    is_own: bool
    batch: Batch | None = None
    #: when the server began to give no answer, on the monotonic clock
    away_since: float | None = None


class Batcher:
    """Sends requests in batches while the block lasts; what goes on at its end is cancelled.

    Args:
        client: of the server.
        sent: remembers what was sent.
    """

    def __init__(self, client: Client, sent: SentLines) -> None:
        self._client, self._sent = client, sent
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._gathered: dict[str, Line] = {}
        self._groups: dict[str, _Group] = {}
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Begin."""
        self._start(self._gather)
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what has not ended, then delete its videos; an earlier call's batch goes on."""
        self._stop.set()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            groups = [group for group in self._groups.values() if group.is_own]
            lines = [self._gathered, *(group.lines for group in groups)]
            file_ids = {line.body["file_id"] for each in lines for line in each.values()}
        for batch in filter(None, (group.batch for group in groups)):
            with suppress(ApiError):  # a server that is gone needs no telling
                self._client.cancel_batch(batch)
        self._delete(*file_ids)

    def add(self, key: str, body: Body) -> Line:
        """Send a request, by a key that is the same for the same request.

        What another thread has sent meanwhile is not sent again.
        """
        with self._lock:
            line = self._on_its_way(key)
            sent = self._sent.find(key)
            if line is None and sent and isinstance(sent.outcome, Job):
                line = _ended(sent.body, sent.outcome)
            return line or self._gathered.setdefault(key, Line(body))

    def find(self, key: str) -> Line | None:
        """Return a request that was sent already: for another item, or by an earlier call."""
        with self._lock:
            line = self._on_its_way(key)
            sent = self._sent.find(key)
            if line or sent is None:
                return line
            if sent.outcome:
                return _ended(sent.body, sent.outcome)
            group = self._groups.get(sent.token)
            if group is None:
                group = self._follow_new(sent.token, _Group({}, is_own=False))
            return group.lines.setdefault(key, Line(sent.body))

    def _on_its_way(self, key: str) -> Line | None:
        for lines in (self._gathered, *(group.lines for group in self._groups.values())):
            if key in lines:
                return lines[key]
        return None

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="batches", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _gather(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self._begin_batch()
            except Exception as error:  # a defect is raised where the outcomes are waited for
                with self._lock:
                    lines, self._gathered = self._gathered, {}
                _fail(lines, error)

    def _follow_new(self, token: str, group: _Group) -> _Group:
        """Go on with a batch in a thread of its own, whatever holds up the others."""
        self._start(lambda: self._follow(token, group))
        self._groups[token] = group
        return group

    def _follow(self, token: str, group: _Group) -> None:
        is_done = False
        while not is_done and not self._stop.wait(_LOOK_SECONDS):
            try:
                is_done = self._advance(token, group)
            except Exception as error:  # a defect, too
                with self._lock:
                    self._groups.pop(token, None)
                _fail(group.lines, error)
                return

    def _begin_batch(self) -> None:
        with self._lock:
            is_enough = sum(group.is_own for group in self._groups.values()) >= _MAX_BATCHES
            if is_enough or not self._gathered:
                return
            token = uuid.uuid4().hex
            self._sent.note(token, {key: line.body for key, line in self._gathered.items()})
            self._follow_new(token, _Group(self._gathered, is_own=True))
            self._gathered = {}

    def _advance(self, token: str, group: _Group) -> bool:
        """Look at a batch, and hand out what has come of it once it has ended; whether it has."""
        outcomes: Mapping[str, Outcome] = {}
        is_over = True
        try:
            group.batch = batch = self._look(token, group.batch)
            for line in [*group.lines.values()]:
                line.done, line.total = batch.completed + batch.failed, batch.total
            if batch.has_ended:
                outcomes = self._client.outcomes(batch)
            group.away_since = None
            if not batch.has_ended:
                return False
            otherwise = ApiError(0, batch.errors or f"{batch.id} is {batch.status}")
            self._sent.settle(token, outcomes)
            self._delete(batch.input_file_id, batch.output_file_id, batch.error_file_id)
        except ApiError as error:
            if _may_pass(group, error):
                return False
            # what is wrong with the batch is nothing that is wrong with a video
            status = error.status if error.status in (401, 403) else 0
            otherwise = ApiError(status, f"no batch: {error}", error.code)
            is_over = not _is_away(error)
        with self._lock:
            del self._groups[token]
        for key, line in group.lines.items():
            sent = self._sent.find(key)  # another call of the same index may have been faster
            known = outcomes.get(key) or (sent and sent.outcome)
            line.is_over = is_over or known is not None
            line.outcome.set_result(known or otherwise)
        return True

    def _delete(self, *file_ids: str | None) -> None:
        """Delete files, of which some may have gone; what is left the server deletes in the end."""
        for file_id in filter(None, file_ids):
            try:
                self._client.delete_file(file_id)
            except ApiError as error:
                if _is_away(error):
                    return

    def _look(self, token: str, batch: Batch | None) -> Batch:
        """Return a batch as it stands; makes it if that has not happened yet."""
        if batch is not None:
            return self._client.retrieve_batch(batch.id)
        batch_id, bodies = self._sent.batch_of(token)
        if batch_id:
            return self._client.retrieve_batch(batch_id)
        batch = self._client.create_batch(
            "captions", bodies, idempotency_key=token, lifetime_seconds=KEPT_SECONDS
        )
        self._sent.confirm(token, batch.id)
        return batch


def _ended(body: Body, outcome: Outcome) -> Line:
    line = Line(body, is_over=True)
    line.outcome.set_result(outcome)
    return line


def _fail(lines: Mapping[str, Line], error: Exception) -> None:
    for line in lines.values():
        if not line.outcome.done():
            line.outcome.set_exception(error)


def _may_pass(group: _Group, error: ApiError) -> bool:
    """Whether to look again later; a batch goes on while nobody can look at it."""
    if not _is_away(error):
        group.away_since = None
        return error.code in _BUSY_CODES
    if group.away_since is None:
        group.away_since = time.monotonic()
    return time.monotonic() - group.away_since < _AWAY_SECONDS


def _is_away(error: ApiError) -> bool:
    return error.status == 0 or error.status >= 500
