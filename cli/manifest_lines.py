"""A manifest of clips without its videos, as commands read it: every bad line is named."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.items import BadOption


class ManifestLine(BaseModel):
    """One clip; fields that are not known here are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    video: str = Field(min_length=1)
    prompt: str = Field(pattern=r"\S")
    split: Literal["train", "val", "test"] = "train"


#: number of a line, from 1, and what it says or why it cannot be used
Numbered = tuple[int, ManifestLine | str]


def read_manifest(path: Path) -> list[Numbered]:
    """Read a manifest; empty lines are passed over.

    Raises:
        BadOption: if the file cannot be read, or has no line at all.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadOption(f"manifest {path}: {error}") from error
    found = [(at, _parse(line)) for at, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise BadOption(f"manifest {path}: there is no line in it")
    return found


def _parse(line: str) -> ManifestLine | str:
    try:
        return ManifestLine.model_validate_json(line)
    except ValidationError as error:
        found = error.errors()[0]
        field = ".".join(str(part) for part in found["loc"])
        return f"{f'{field}: ' if field else ''}{found['msg']}"
