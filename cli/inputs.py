"""Finds the videos that `caption` was given: files, folders, globs, manifests and buckets."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from cli.items import ItemFailed
from cli.shelves import FolderShelf, Shelf

#: what is taken from a folder; a file named by itself is tried whatever its name
VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .ogv .ts "
    ".vob .webm .wmv .y4m".split()
)
MANIFEST_SUFFIX = ".jsonl"
BUCKET_SCHEME = "s3://"


@dataclass(frozen=True)
class Found:
    """A video file, or why an argument names none.

    `below` is its path under the folder it was found in; its file name where it was named itself.
    """

    path: Path
    below: Path
    error: str | None = None

    @property
    def name(self) -> str:
        """What it is called in results."""
        return str(self.path)

    @property
    def shelf(self) -> Shelf:
        """Where a text beside it goes."""
        return FolderShelf()

    def stamp(self) -> str:
        """Return what changes whenever the content may have.

        Raises:
            ItemFailed: if it is not there any more.
        """
        try:
            facts = self.path.stat()
        except OSError as error:
            raise ItemFailed(f"cannot read it: {error.strerror}", is_final=False) from error
        return f"{facts.st_size} {facts.st_mtime_ns}"

    def content(self) -> str:
        """Return a hash of the content.

        Raises:
            ItemFailed: if it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ItemFailed(f"cannot read it: {error.strerror}", is_final=False) from error

    def local(self) -> AbstractContextManager[Path]:
        """Give a path on this machine to read it from."""
        return nullcontext(self.path)


def find_videos(arguments: Sequence[str]) -> list[Found]:
    """Return every video once, in the order given and sorted within a folder, glob or bucket."""
    found: dict[str, Found] = {}
    for argument in arguments:
        for item in _expand(argument):
            found.setdefault(item.name, item)
    return list(found.values())


def is_video(path: Path) -> bool:
    """Whether a name found in a folder is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def _expand(argument: str) -> Iterator[Found]:
    if argument.startswith(BUCKET_SCHEME):
        from cli.bucket import find_in_bucket

        yield from find_in_bucket(argument)
        return
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
    elif path.suffix == MANIFEST_SUFFIX and path.is_file():
        yield from _in_manifest(path)
    else:
        yield Found(path, Path(path.name), None if path.is_file() else "there is no such file")


def _in_folder(folder: Path) -> Iterator[Found]:
    videos = [path for path in sorted(folder.rglob("*")) if is_video(path) and path.is_file()]
    for path in videos:
        yield Found(path, path.relative_to(folder))
    if not videos:
        yield Found(folder, Path(folder.name), "there is no video in this folder")


def _in_manifest(manifest: Path) -> Iterator[Found]:
    """Yield the videos that the lines name, by paths that are relative to the manifest."""
    for number, line in enumerate(manifest.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            named = Path(json.loads(line)["video"])
        except (ValueError, KeyError, TypeError):
            place = manifest.with_name(f"{manifest.name}:{number}")
            yield Found(place, Path(place.name), 'the line is no JSON object with a path "video"')
            continue
        path = (manifest.parent / named).absolute()
        below = named if not named.is_absolute() and ".." not in named.parts else Path(named.name)
        yield Found(path, below, None if path.is_file() else "there is no such file")
