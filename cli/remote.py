"""The backend that is a server: one job per item, over HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.backend import Description, OnStep, TextWish, VideoWish
from cli.items import BadOption, ItemFailed
from contract.subtitles import Cue
from univigu_client import ApiError, CaptionFields, Client, Job, VideoFields

#: request fields that belong to the item; any other is an option of the whole command
_ITEM_FIELDS = (None, "prompt", "video")
#: the server's own limit for a job is an hour; it may have to wait for others before
JOB_SECONDS = 4 * 3600.0
#: failures of the server, not of the item
_SERVER_CODES = ("worker_lost", "storage_error", "internal_error", "timeout", "out_of_memory")


class RemoteModel:
    """Does items as jobs of a server.

    Args:
        client: of that server.
    """

    max_jobs = 64

    def __init__(self, client: Client) -> None:
        self._client = client

    def checkpoint(self) -> str:
        """See `Backend`."""
        with _in_items_words():
            return self._client.checkpoint()

    def make_video(self, wish: VideoWish, video: Path, on_step: OnStep) -> str | None:
        """See `Backend`."""
        fields: VideoFields = {"mode": wish.mode, "seed": wish.seed}
        if wish.num_inference_steps is not None:
            fields["num_inference_steps"] = wish.num_inference_steps
        if wish.guidance_scale is not None:
            fields["guidance_scale"] = wish.guidance_scale
        with _in_items_words():
            job = self._completed(self._client.create_video(wish.prompt, **fields), on_step)
            with tempfile.TemporaryDirectory(prefix=".univigu-", dir=video.parent) as folder:
                self._client.download(job, Path(folder) / video.name)
                (Path(folder) / video.name).replace(video)
        return job.text

    def describe(self, wish: TextWish, on_step: OnStep) -> Description:
        """See `Backend`."""
        fields: CaptionFields = {"seed": wish.seed}
        if wish.instruction is not None:
            fields["instruction"] = wish.instruction
        if wish.segment_seconds is not None:
            fields["segment_seconds"] = wish.segment_seconds
        with _in_items_words():
            job = self._completed(self._start(wish, fields), on_step)
        assert job.text is not None
        assert job.duration_seconds is not None
        segments = [Cue(**segment) for segment in job.fields["segments"]]
        return Description(job.text, job.duration_seconds, segments)

    def _start(self, wish: TextWish, fields: CaptionFields) -> Job:
        """Start the job of a wish, or find the one that an earlier, killed call has started."""
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


@contextmanager
def _in_items_words() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        is_option = error.status == 400 and error.param not in _ITEM_FIELDS
        if is_option or error.status in (401, 403):
            raise BadOption(str(error)) from error
        is_final = 400 <= error.status < 500 and error.status not in (408, 429)
        raise ItemFailed(str(error), is_final=is_final) from error
    except OSError as error:  # a time that is over is one, too
        raise ItemFailed(str(error), is_final=False) from error
