"""The backend that is a server: one job per item, over HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.backend import Describer, Description, OnStep, TextWish, VideoWish
from cli.items import BadOption, ItemFailed
from contract.subtitles import Cue
from univigu_client import ApiError, CaptionFields, Client, Job, VideoFields

#: request fields that belong to the item; any other is an option of the whole command
_ITEM_FIELDS = (None, "prompt", "video", "file_id")
#: the server's own limit for a job is an hour; it may have to wait for others before
JOB_SECONDS = 4 * 3600.0
#: failures of the server, not of the item
_SERVER_CODES = ("worker_lost", "storage_error", "internal_error", "timeout", "out_of_memory")
#: too slow, taken, gone, or too often: another time it may go well
_PASSING = (408, 409, 410, 429)
#: from which number of videos on they are sent in batches
_MANY = 33


class RemoteModel:
    """Does items as jobs of a server.

    Args:
        client: of that server.
    """

    max_jobs, usual_jobs = 64, 4

    def __init__(self, client: Client) -> None:
        self._client = client

    @contextmanager
    def for_many(self, count: int, index: Path) -> Iterator[Describer]:
        """See `Backend`; for few, a job for each is sooner done."""
        if count < _MANY:
            yield self
            return
        from cli.batching import batching

        with batching(self._client, index) as model:
            yield model

    def checkpoint(self) -> str:
        """See `Describer`."""
        with in_items_words():
            return self._client.checkpoint()

    def make_video(self, wish: VideoWish, video: Path, on_step: OnStep) -> str | None:
        """See `Backend`."""
        fields: VideoFields = {"mode": wish.mode, "seed": wish.seed}
        if wish.num_inference_steps is not None:
            fields["num_inference_steps"] = wish.num_inference_steps
        if wish.guidance_scale is not None:
            fields["guidance_scale"] = wish.guidance_scale
        with in_items_words():
            job = self._completed(self._client.create_video(wish.prompt, **fields), on_step)
            with tempfile.TemporaryDirectory(prefix=".univigu-", dir=video.parent) as folder:
                self._client.download(job, Path(folder) / video.name)
                (Path(folder) / video.name).replace(video)
        return job.text

    def describe(self, wish: TextWish, on_step: OnStep) -> Description:
        """See `Describer`."""
        with in_items_words():
            return description(self._completed(self._start(wish), on_step))

    def _start(self, wish: TextWish) -> Job:
        """Start the job of a wish, or find the one that an earlier, killed call has started."""
        fields = caption_fields(wish)
        try:
            job = self._client.create_caption(wish.path, idempotency_key=wish.key, **fields)
        except ApiError as error:
            if error.code != "gone":
                raise
        else:
            if job.status != "cancelled" and job.error_code not in _SERVER_CODES:
                return job
        return self._client.create_caption(wish.path, **fields)

    def _completed(self, job: Job, on_step: OnStep) -> Job:
        try:
            job = self._client.wait(job, lambda seen: on_step(seen.progress, 100), JOB_SECONDS)
        except BaseException:  # nobody waits for it any more
            self._client.cancel(job)
            raise
        if job.status != "completed":
            is_final = job.status == "failed" and job.error_code not in _SERVER_CODES
            raise ItemFailed(job.error or f"{job.id} is {job.status}", is_final=is_final)
        return job


def caption_fields(wish: TextWish) -> CaptionFields:
    """Return what a request says beside its video."""
    fields: CaptionFields = {"seed": wish.seed}
    if wish.instruction is not None:
        fields["instruction"] = wish.instruction
    if wish.segment_seconds is not None:
        fields["segment_seconds"] = wish.segment_seconds
    return fields


def description(job: Job) -> Description:
    """Return what a completed job tells."""
    assert job.text is not None
    assert job.duration_seconds is not None
    segments = [Cue(**segment) for segment in job.fields["segments"]]
    return Description(job.text, job.duration_seconds, segments)


def is_final(error: ApiError) -> bool:
    """Whether the same video would be refused again; a file on the server may have gone."""
    if error.param == "file_id" and error.code != "empty_file":
        return False
    return 400 <= error.status < 500 and error.status not in _PASSING


@contextmanager
def in_items_words() -> Iterator[None]:
    """Let what the server says be raised as the command says it.

    Raises:
        BadOption: what is refused is an option of the whole command, or the key.
        ItemFailed: the item was refused, or there was no answer.
    """
    try:
        yield
    except ApiError as error:
        is_option = error.status == 400 and error.param not in _ITEM_FIELDS
        if is_option or error.status in (401, 403):
            raise BadOption(str(error)) from error
        raise ItemFailed(str(error), is_final=is_final(error)) from error
    except OSError as error:  # a time that is over is one, too
        raise ItemFailed(str(error), is_final=False) from error
