"""The prompts of one `generate` call, with their seeds and file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.items import BadOption
from contract.requests import MAX_SEED

_NAME_LENGTH = 48


class PromptLine(BaseModel):
    """One line of a prompts file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prompt: str
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    #: name of the video file, without suffix
    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")


@dataclass(frozen=True)
class Prompt:
    """A prompt with the seed and the file name (without suffix) it will have."""

    text: str
    seed: int
    name: str


def read_prompts(path: Path) -> list[PromptLine]:
    """Read a prompts file; empty lines are passed over.

    Raises:
        BadOption: naming the line that is none, or if there is no line at all.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadOption(f"--prompts {path}: {error}") from error
    found = [_parse(line, f"{path} line {at}") for at, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise BadOption(f"--prompts {path}: there is no prompt in it")
    return found


def number_prompts(lines: Sequence[PromptLine], first_seed: int) -> list[Prompt]:
    """Give the i-th prompt the seed `first_seed` + i, unless it has its own, and a file name.

    Raises:
        BadOption: if two lines have one id, or a seed is too large.
    """
    prompts: list[Prompt] = []
    taken: set[str] = set()
    for number, line in enumerate(lines):
        seed = first_seed + number if line.seed is None else line.seed
        if seed > MAX_SEED:
            raise BadOption(f"seed {seed} of prompt {number + 1}: at most {MAX_SEED}")
        name = line.id or f"{_slug(line.prompt)}-seed{seed}"
        if name in taken:
            if line.id:
                raise BadOption(f"id {name!r} is given to two prompts")
            name = f"{name}-{number + 1}"
        taken.add(name)
        prompts.append(Prompt(line.prompt, seed, name))
    return prompts


def _parse(line: str, place: str) -> PromptLine:
    try:
        return PromptLine.model_validate_json(line)
    except ValidationError as error:
        found = error.errors()[0]
        field = ".".join(str(part) for part in found["loc"])
        raise BadOption(f"{place}: {f'{field}: ' if field else ''}{found['msg']}") from error


def _slug(prompt: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return words[:_NAME_LENGTH].rstrip("-") or "video"
