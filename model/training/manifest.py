"""Where training clips come from: JSONL manifests and WebDataset shards, line by line.

A line that cannot be used becomes a `Skipped` with its place and reason; it ends nothing.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

SPLITS = ("train", "val", "test")
_VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi")


@dataclass(frozen=True)
class Entry:
    """One clip with its words; `read` fetches the bytes of the video."""

    place: str
    prompt: str
    caption: str | None
    split: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Skipped:
    """A line that is left out, and why."""

    place: str
    error: str


def read_entries(source: str) -> Iterator[Entry | Skipped]:
    """Yield what a manifest or a shard has, in its order.

    Args:
        source: path or URL of a `.jsonl` manifest with lines `{"video", "prompt", "caption",
            "split"}`, whose videos are paths beside it or URLs, or of a `.tar` shard whose samples
            are a video and a `.json` with the other three. `caption` and `split` may be left out.

    Raises:
        ValueError: if the source is neither, or cannot be read.
    """
    if not source.endswith((".jsonl", ".tar")):
        raise ValueError(f"manifest {source!r}: must end in .jsonl or .tar")
    try:
        content = read_bytes(source)
    except (OSError, ValueError, BaseError) as error:
        raise ValueError(f"manifest {source!r}: {error}") from error
    yield from (_shard if source.endswith(".tar") else _lines)(source, content)


def read_bytes(location: str) -> bytes:
    """Return the bytes behind a path, or a URL of any object store."""
    if "://" not in location:
        return Path(location).read_bytes()
    url = urlsplit(location)
    folder, _, name = url.path.rpartition("/")
    store = from_url(f"{url.scheme}://{url.netloc}{folder}/")
    return bytes(obstore.get(store, name).bytes())


def _lines(source: str, content: bytes) -> Iterator[Entry | Skipped]:
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            place = f"{source} line {number}"
            yield _entry(place, line, partial(_beside, source))


def _beside(source: str, video: str) -> Callable[[], bytes]:
    if "://" not in video and not Path(video).is_absolute():
        video = f"{source.rpartition('/')[0] or '.'}/{video}"
    return partial(read_bytes, video)


def _shard(source: str, content: bytes) -> Iterator[Entry | Skipped]:
    samples: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(fileobj=BytesIO(content)) as shard:
            for member in shard:
                if member.isfile() and (file := shard.extractfile(member)):
                    path = PurePosixPath(member.name)
                    key = str(path.with_name(path.name.partition(".")[0]))
                    samples.setdefault(key, {})[path.suffix.lower()] = file.read()
    except tarfile.TarError as error:
        raise ValueError(f"manifest {source!r}: {error}") from error
    for key, parts in samples.items():
        place = f"{source} sample {key}"
        videos = [data for suffix, data in parts.items() if suffix in _VIDEO_SUFFIXES]
        if len(videos) != 1 or ".json" not in parts:
            yield Skipped(place, "needs one video and one .json")
            continue
        yield _entry(place, parts[".json"], None, videos[0])


def _entry(
    place: str,
    line: bytes,
    locate: Callable[[str], Callable[[], bytes]] | None,
    video: bytes = b"",
) -> Entry | Skipped:
    try:
        fields: Any = json.loads(line)
        if not isinstance(fields, dict):
            raise ValueError("is not a JSON object")
        prompt, caption = _text(fields, "prompt"), fields.get("caption")
        if caption is not None:
            caption = _text(fields, "caption")
        split = fields.get("split", "train")
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: must be one of {', '.join(SPLITS)}")
        read = locate(_text(fields, "video")) if locate else lambda: video
    except ValueError as error:
        return Skipped(place, str(error))
    return Entry(place, prompt, caption, split, read)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} {value!r}: must be a text that is not empty")
    return value
