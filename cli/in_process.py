"""The backend that is the model itself: the engine's own runner, without slots and sockets.

So a command gives the same bytes as a server with the same checkpoint, seed and threads.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from cli.backend import Describer, Description, OnStep, TextWish, VideoWish
from cli.checkpoint import require_checkpoint, silence_loading
from cli.items import BadOption, ItemFailed
from contract.errors import ErrorCode
from contract.requests import Capabilities, JobRequest, UnderstandRequest
from contract.subtitles import Cue
from server.caption_request import CaptionCreate, understand_request
from server.errors import InvalidRequest, first_error
from server.video_request import VideoCreate, generate_request
from worker.intake import Input, read_frames
from worker.protocol import VIDEO_FILE, Done, Progress, Start
from worker.settings import WorkerSettings
from worker.video_io import VideoError

if TYPE_CHECKING:
    from worker.engine.runner import ModelRunner

logger = logging.getLogger(__name__)

Request = TypeVar("Request", bound=JobRequest)


class LocalModel:
    """Loads the checkpoint with the first item that needs it.

    Args:
        settings: which checkpoint, on what device, and the bounds of input videos.
    """

    max_jobs = usual_jobs = 1

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings

    def make_video(self, wish: VideoWish, video: Path, on_step: OnStep) -> str | None:
        """See `Backend`."""
        request = _checked(
            lambda: generate_request(
                VideoCreate.model_validate(
                    {
                        "prompt": wish.prompt,
                        "mode": wish.mode,
                        "seed": wish.seed,
                        "num_inference_steps": wish.num_inference_steps,
                        "guidance_scale": wish.guidance_scale,
                    }
                ),
                self._capabilities,
            ),
            item_field="prompt",
        )
        with tempfile.TemporaryDirectory(prefix=".univigu-", dir=video.parent) as folder:
            done = self._run(request, Path(folder), on_step)
            (Path(folder) / VIDEO_FILE).replace(video)
        return done.text

    def for_many(self, count: int, index: Path) -> AbstractContextManager[Describer]:
        """See `Backend`; many are one after another."""
        return nullcontext(self)

    def describe(self, wish: TextWish, on_step: OnStep) -> Description:
        """See `Describer`."""
        body = {
            "instruction": wish.instruction,
            "seed": wish.seed,
            "segment_seconds": wish.segment_seconds,
        }
        request = _checked(
            lambda: understand_request(CaptionCreate.model_validate(body), "", self._capabilities),
            item_field="video",
        )
        with tempfile.TemporaryDirectory(prefix="univigu-caption-") as folder:
            found = self._read(wish.path, request, Path(folder))
            done = self._run(request, Path(folder), on_step)
        assert done.text is not None
        texts = zip(found.spans, done.segment_texts, strict=True)
        segments = [Cue(start, end, text) for (start, end), text in texts]
        return Description(done.text, found.seconds, segments)

    def checkpoint(self) -> str:
        """See `Describer`; the same as a server says of it."""
        path = self._settings.checkpoint
        require_checkpoint(path)
        from model.checkpoint import fingerprint

        return f"{path.resolve().name}@{fingerprint(path)}"

    @cached_property
    def _runner(self) -> ModelRunner:
        path = self._settings.checkpoint
        require_checkpoint(path)
        from worker.engine.runner import ModelRunner

        silence_loading()
        try:
            return ModelRunner(self._settings)
        except (ValueError, OSError) as error:
            raise BadOption(f"checkpoint {path}: {error}") from error

    @cached_property
    def _capabilities(self) -> Capabilities:
        return self._runner.capabilities()

    def _read(self, path: Path, request: UnderstandRequest, folder: Path) -> Input:
        try:
            return read_frames(path, request, folder, self._capabilities, self._settings)
        except VideoError as error:
            raise ItemFailed(str(error), is_final=True) from error

    def _run(self, request: JobRequest, folder: Path, on_step: OnStep) -> Done:
        start = Start(id="", attempt=0, request=request, workdir=folder)
        try:
            with closing(self._runner.start(start)) as steps:
                for reply in steps:
                    if isinstance(reply, Done):
                        return reply
                    if isinstance(reply, Progress):
                        on_step(reply.step, reply.of)
        except Exception as error:  # the job boundary: one item's failure is not the command's
            failed = self._runner.explain(error)
            is_defect = failed.code == ErrorCode.INTERNAL
            if is_defect:
                logger.error("%s", failed.message, exc_info=error)
            is_final = not is_defect and failed.code != ErrorCode.OUT_OF_MEMORY
            raise ItemFailed(failed.message, is_final=is_final) from error
        raise AssertionError("a job ends with Done or an exception")


def _checked(build: Callable[[], Request], item_field: str) -> Request:
    try:
        try:
            return build()
        except ValidationError as error:
            raise first_error(error.errors()) from error
    except InvalidRequest as refused:
        if refused.param == item_field:
            raise ItemFailed(str(refused), is_final=True) from refused
        raise BadOption(str(refused)) from refused
