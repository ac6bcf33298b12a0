"""One result per item, as a row for people or as one JSON object per line for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import typer

from cli.terminal import FAILED

ItemStatus = Literal["completed", "failed", "skipped"]


class ItemFailed(Exception):
    """This item cannot be done; the others go on.

    Args:
        message: what the user reads.
        is_final: whether trying again with the same input cannot help.
    """

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


class BadOption(ValueError):
    """No item can be done with these options."""


@dataclass(frozen=True)
class VideoRow:
    """What became of a prompt; `video` is absolute and None where there is none."""

    status: ItemStatus
    video: str | None
    caption: str | None
    seed: int
    prompt: str
    error: str | None

    def lines(self) -> list[str]:
        """Return what people read."""
        if self.error is not None:
            return [f"failed: {self.prompt!r}: {self.error}"]
        caption = [] if self.caption is None else [f"  {self.caption}"]
        return [f"{self.video}", *caption]


@dataclass(frozen=True)
class TextRow:
    """What became of a video file; `file` is absolute."""

    file: str
    status: ItemStatus
    text: str | None
    error: str | None

    def lines(self) -> list[str]:
        """Return what people read."""
        if self.error is not None:
            return [f"failed: {self.file}: {self.error}"]
        note = " (skipped: done before)" if self.status == "skipped" else ""
        return [f"{self.file}{note}", *([] if self.text is None else [f"  {self.text}"])]


class Row(Protocol):
    """A dataclass that says what became of an item."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def status(self) -> ItemStatus:
        """What became of it."""

    def lines(self) -> list[str]:
        """Return what people read."""


class Rows:
    """Prints rows as they come.

    Args:
        as_json: one JSON object per row, and nothing else.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.failed: list[Row] = []

    def add(self, row: Row) -> None:
        """Print a row on stdout."""
        if row.status == "failed":
            self.failed.append(row)
        lines = [json.dumps(asdict(row))] if self._as_json else row.lines()
        # not typer.echo, which would write through a bar on the same terminal
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

    def finish(self) -> None:
        """End the command.

        Raises:
            typer.Exit: with code 1 if a row has failed.
        """
        if self.failed:
            raise typer.Exit(FAILED)


def write_lines(path: Path, objects: Sequence[object]) -> None:
    """Write JSON lines, all of them or none."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text("".join(json.dumps(item) + "\n" for item in objects), "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
