"""The backend that is a server: one job per item, over HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.answers import ApiError, Job
from cli.backend import Description, OnStep, TextWish, VideoWish
from cli.client import Client
from cli.items import BadOption, ItemFailed

#: request fields that belong to the item; any other is an option of the whole command
_ITEM_FIELDS = (None, "prompt", "video")
#: failures of the server, not of the item
_SERVER_CODES = ("worker_lost", "storage_error", "internal_error", "timeout", "out_of_memory")


class RemoteModel:
    """Does items as jobs of a server.

    Args:
        client: of that server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def make_video(self, wish: VideoWish, video: Path, on_step: OnStep) -> str | None:
        """See `Backend`."""
        fields = {
            "prompt": wish.prompt,
            "mode": wish.mode,
            "seed": wish.seed,
            "num_inference_steps": wish.num_inference_steps,
            "guidance_scale": wish.guidance_scale,
        }
        with _in_items_words():
            job = self._client.create_video(**_given(fields))
            job = self._completed(job, on_step)
            with tempfile.TemporaryDirectory(prefix=".univigu-", dir=video.parent) as folder:
                self._client.download(job, Path(folder) / video.name)
                (Path(folder) / video.name).replace(video)
        return job.text

    def describe(self, wish: TextWish, on_step: OnStep) -> Description:
        """See `Backend`."""
        fields = _given({"instruction": wish.instruction, "seed": wish.seed})
        with _in_items_words():
            job = self._completed(self._client.create_caption(wish.path, **fields), on_step)
        assert job.text is not None
        return Description(job.text)

    def _completed(self, job: Job, on_step: OnStep) -> Job:
        job = self._client.wait(job, lambda percent: on_step(percent, 100))
        if job.status != "completed":
            is_final = job.status == "failed" and job.error_code not in _SERVER_CODES
            raise ItemFailed(job.error or f"{job.id} is {job.status}", is_final=is_final)
        return job


def _given(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


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
    except OSError as error:
        raise ItemFailed(str(error), is_final=False) from error
