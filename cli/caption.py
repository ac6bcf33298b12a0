"""`univigu caption`: video files get their captions as files beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.items import BadOption, ItemFailed, Rows, TextRow
from cli.options import AsJson, Checkpoint, Url
from cli.terminal import ItemBars, interruptible, progress_bar, refuse

if TYPE_CHECKING:
    from cli.backend import Backend, OnStep, TextWish
    from cli.inputs import Found
    from cli.sidecars import Sidecars


Paths = Annotated[list[str], typer.Argument(help="Video files, folders or globs.")]
Instruction = Annotated[
    str | None, typer.Option(help="What to tell about the videos; else they are captioned.")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the texts; else beside the videos.")]
Formats = Annotated[str, typer.Option(help="Of txt, vtt, srt, json; with commas.")]
Resume = Annotated[bool, typer.Option("--resume", help="Pass over what an earlier call has done.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same text.")]


def caption(  # noqa: PLR0913 - one parameter per option
    path: Paths,
    instruction: Instruction = None,
    out: Out = None,
    formats: Formats = "txt",
    resume: Resume = False,
    as_json: AsJson = False,
    seed: Seed = 0,
    url: Url = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Caption videos, or answer an instruction about each.

    A video that cannot be captioned gets a file NAME.error.json, and --resume reports it again
    without a new try.
    """
    from cli.backend import TextWish, open_backend
    from cli.inputs import find_videos
    from cli.sidecars import place_sidecars

    rows = Rows(as_json)
    try:
        wanted = _formats(formats)
        found = find_videos(path)
        places = place_sidecars([item for item in found if item.error is None], out, wanted)
        with interruptible(), open_backend(url, checkpoint) as backend, progress_bar() as bar:
            bars = ItemBars(bar, len(found))
            desk = Desk(backend, places, resume, bars.step)
            for item in found:
                rows.add(desk.row(item, TextWish(item.path, instruction, seed)))
                bars.next_item()
    except BadOption as error:
        refuse(str(error))
    rows.finish()


def _formats(given: str) -> list[str]:
    from cli.sidecars import FORMATS

    names = list(dict.fromkeys(name.strip() for name in given.split(",")))
    for name in names:
        if name not in FORMATS:
            raise BadOption(f"--formats {name!r}: allowed are {', '.join(FORMATS)}")
    return names


class Desk:
    """Does one file at a time.

    Args:
        backend: the model.
        places: where each video's texts go.
        resume: whether what was done before is passed over.
        on_step: told of each step.
    """

    def __init__(
        self, backend: Backend, places: dict[Path, Sidecars], resume: bool, on_step: OnStep
    ) -> None:
        self._backend, self._places = backend, places
        self._resume, self._on_step = resume, on_step

    def row(self, item: Found, wish: TextWish) -> TextRow:
        """Caption a file, unless it is known what comes of it."""
        file = str(item.path)
        if item.error is not None:
            return TextRow(file, "failed", None, item.error)
        sidecars = self._places[item.path]
        if self._resume and (failure := sidecars.failure()) is not None:
            return TextRow(file, "failed", None, failure)
        if self._resume and sidecars.are_there():
            return TextRow(file, "skipped", sidecars.text(), None)
        try:
            return TextRow(file, "completed", self._describe(wish, sidecars), None)
        except ItemFailed as error:
            return TextRow(file, "failed", None, str(error))

    def _describe(self, wish: TextWish, sidecars: Sidecars) -> str:
        if sidecars.are_shared:
            message = f"another video of this call would write {sidecars.stem}.*, too"
            raise ItemFailed(message, is_final=False)
        try:
            found = self._backend.describe(wish, self._on_step)
            sidecars.write(wish, found)
        except ItemFailed as error:
            if error.is_final:
                sidecars.write_failure(wish.path, str(error))
            raise
        return found.text
