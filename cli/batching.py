"""The backend that is a server with a whole library to caption: videos are sent in batches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cli.backend import Description, OnStep, TextWish
from cli.batcher import Batcher, Line
from cli.remote import caption_fields, description, in_items_words, is_final
from cli.room import Room
from cli.sent import KEPT_SECONDS, Outcome, SentLines
from univigu_client import ApiError, Client, Job

#: videos that are uploaded at the same time
_UPLOADS = 4
#: of videos on the server that have no text yet
_MAX_BYTES = 2 * 2**30
_LOOK_SECONDS = 0.5


class BatchingModel:
    """Captions videos as lines of batches.

    A video is uploaded when its turn comes, and deleted once its outcome is known; where nobody is
    left to do that, the server does.

    Args:
        client: of the server.
        batcher: gathers the requests.
    """

    max_jobs = usual_jobs = 64

    def __init__(self, client: Client, batcher: Batcher) -> None:
        self._client, self._batcher = client, batcher
        self._room, self._uploads = Room(_MAX_BYTES), threading.Semaphore(_UPLOADS)

    def checkpoint(self) -> str:
        """See `Describer`."""
        with in_items_words():
            return self._client.checkpoint()

    def describe(self, wish: TextWish, on_step: OnStep) -> Description:
        """See `Describer`."""
        assert wish.key is not None
        with in_items_words():
            outcome = self._sent_before(wish.key, on_step)
            while outcome is None:
                outcome = self._send(wish, wish.key, on_step)
            if isinstance(outcome, ApiError):
                raise outcome
        return description(outcome)

    def _sent_before(self, key: str, on_step: OnStep) -> Outcome | None:
        """Return what comes of a request that is on its way already; None if it has to be sent."""
        line = self._batcher.find(key)
        if line is None:
            return None
        outcome = self._outcome(line, line.body["file_id"], on_step)
        is_settled = isinstance(outcome, Job) or is_final(outcome)
        return outcome if is_settled else None

    def _send(self, wish: TextWish, key: str, on_step: OnStep) -> Outcome | None:
        """Return what comes of a request; None if it should be sent again."""
        size = wish.path.stat().st_size
        before = self._room.take(size, lambda: on_step(0, 1))
        try:
            outcome = self._outcome_of_new(wish, key, on_step)
            if isinstance(outcome, ApiError):
                if outcome.code == "batch_expired":  # the server had no time for it
                    return None
                # others of this call have too much there, too: less at a time may fit
                is_full = outcome.code == "storage_quota_exceeded"
                if is_full and self._room.shrink(size, before):
                    return None
            return outcome
        finally:
            self._room.give_back(size)

    def _outcome_of_new(self, wish: TextWish, key: str, on_step: OnStep) -> Outcome:
        try:
            with self._uploads:
                on_step(0, 1)
                file_id = self._client.upload(
                    wish.path, idempotency_key=f"video {key}", lifetime_seconds=KEPT_SECONDS
                )
        except ApiError as error:
            return error
        line = self._batcher.add(key, {"file_id": file_id, **caption_fields(wish)})
        return self._outcome(line, file_id, on_step)

    def _outcome(self, line: Line, file_id: str, on_step: OnStep) -> Outcome:
        """Wait for what comes of a request, whose file is not needed from then on."""
        outcome: Outcome | None = None
        while outcome is None:
            on_step(line.done, max(line.total, 1))
            with suppress(TimeoutError):
                outcome = line.outcome.result(_LOOK_SECONDS)
        if line.is_over:
            with suppress(ApiError):  # in the end the server deletes it
                self._client.delete_file(file_id)
        return outcome


@contextmanager
def batching(client: Client, index: Path) -> Iterator[BatchingModel]:
    """Caption through batches, which are noted in the index, while the block lasts."""
    with SentLines(index, client.url) as sent, Batcher(client, sent) as batcher:
        yield BatchingModel(client, batcher)
