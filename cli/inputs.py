"""Finds the videos that `caption` was given: files, folders and globs."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: what is taken from a folder; a file named by itself is tried whatever its name
VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .ogv .ts "
    ".vob .webm .wmv .y4m".split()
)


@dataclass(frozen=True)
class Found:
    """A video, or why an argument names none.

    `below` is its path under the folder it was found in; its file name where it was named itself.
    """

    path: Path
    below: Path
    error: str | None = None


def find_videos(arguments: Sequence[str]) -> list[Found]:
    """Return every video once, in the order given and sorted within a folder or glob."""
    found: dict[Path, Found] = {}
    for argument in arguments:
        for item in _expand(argument):
            found.setdefault(item.path, item)
    return list(found.values())


def _expand(argument: str) -> Iterator[Found]:
    path = Path(argument).absolute()
    if path.exists() or not glob.has_magic(argument):
        yield from _named(path)
        return
    matches = sorted(glob.glob(argument, recursive=True))
    for match in matches:
        yield from _named(Path(match).absolute())
    if not matches:
        yield Found(path, Path(path.name), "no file matches")


def _named(path: Path) -> Iterator[Found]:
    if path.is_dir():
        yield from _in_folder(path)
    else:
        yield Found(path, Path(path.name), None if path.is_file() else "there is no such file")


def _in_folder(folder: Path) -> Iterator[Found]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    videos = [path for path in paths if path.is_file() and not path.name.startswith(".")]
    for path in videos:
        yield Found(path, path.relative_to(folder))
    if not videos:
        yield Found(folder, Path(folder.name), "there is no video in this folder")
