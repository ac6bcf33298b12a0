"""The text files beside a video: caption, subtitles, JSON, plot, and a record of a failure.

A failure has a file of its own, so that an error never reads as a caption.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.backend import Description, TextWish
from cli.inputs import Found
from cli.nfo import with_plot
from cli.shelves import FolderShelf, Shelf
from contract.subtitles import srt, vtt

FORMATS = ("txt", "vtt", "srt", "json", "nfo")
#: media players read the language of subtitles from their names
_WITH_LANGUAGE = ("vtt", "srt")
_ERROR = "error.json"


@dataclass(frozen=True)
class Failure:
    """Why a video could not be captioned, and the key of what was tried; None: not known."""

    error: str
    key: str | None


@dataclass(frozen=True)
class Style:
    """Which files a video gets, and the language in the names of its subtitles."""

    formats: Sequence[str]
    language: str | None = None


@dataclass(frozen=True)
class Sidecars:
    """The files of one video.

    `stem` is their name without suffix; it ends with the video's name where two videos of one call
    differ in their suffix alone. `are_shared` says that another video would write the same files.
    """

    shelf: Shelf
    stem: str
    style: Style
    are_shared: bool = False

    def are_there(self) -> bool:
        """Whether every format has been written."""
        return all(self.shelf.has(self._name(format)) for format in self.style.formats)

    def text(self) -> str | None:
        """Return the caption that was written; None where no format holds it as it was."""
        if "json" in self.style.formats:
            content: str = json.loads(self.shelf.read(self._name("json")) or "")["text"]
            return content
        if "txt" in self.style.formats:
            return (self.shelf.read(self._name("txt")) or "").removesuffix("\n")
        return None

    def failure(self) -> Failure | None:
        """Return the failure of an earlier call; None if there was none."""
        text = self.shelf.read(self._name(_ERROR))
        if text is None:
            return None
        record = json.loads(text)
        return Failure(record["error"], record.get("key"))

    def write(self, file: str, wish: TextWish, found: Description) -> None:
        """Write every format, and forget an earlier failure.

        Raises:
            ItemFailed: if a file cannot be written.
        """
        texts = {
            self._name(format): self._render(format, file, wish, found)
            for format in self.style.formats
        }
        self.shelf.write(texts)
        self.shelf.remove(self._name(_ERROR))

    def write_failure(self, file: str, wish: TextWish, error: str) -> None:
        """Record that this video cannot be captioned.

        Raises:
            ItemFailed: if the record cannot be written.
        """
        record = {"file": file, "status": "failed", "error": error, "key": wish.key}
        self.shelf.write({self._name(_ERROR): json.dumps(record, ensure_ascii=False) + "\n"})

    def _name(self, suffix: str) -> str:
        if self.style.language and suffix in _WITH_LANGUAGE:
            suffix = f"{self.style.language}.{suffix}"
        return f"{self.stem}.{suffix}"

    def _render(self, name: str, file: str, wish: TextWish, found: Description) -> str:
        if name == "txt":
            return found.text + "\n"
        if name == "nfo":
            return with_plot(self.shelf.read(self._name(name)), Path(self.stem).name, found.text)
        if name == "json":
            content: dict[str, Any] = {
                "file": file,
                "text": found.text,
                "instruction": wish.instruction,
                "seed": wish.seed,
            }
            if found.segments:
                content["segments"] = [cue._asdict() for cue in found.segments]
            return json.dumps(content, ensure_ascii=False) + "\n"
        return {"vtt": vtt, "srt": srt}[name](found.cues())


def place_sidecars(videos: Sequence[Found], out: Path | None, style: Style) -> dict[str, Sidecars]:
    """Return where each video's sidecars go, by the video's name.

    Without `out` that is beside the video, with it at the same place below it.
    """
    folders = [out.absolute() / item.below.parent if out else item.path.parent for item in videos]
    # buckets are told apart by what comes before the key
    homes = ["" if out else item.name.removesuffix(str(item.path)) for item in videos]
    stems = [
        (home, folder / item.path.stem)
        for home, folder, item in zip(homes, folders, videos, strict=True)
    ]
    count = Counter(stems)
    for at, item in enumerate(videos):
        if count[stems[at]] > 1:
            stems[at] = (homes[at], folders[at] / item.path.name)
    count = Counter(stems)
    return {
        item.name: Sidecars(
            FolderShelf() if out else item.shelf, str(stem[1]), style, are_shared=count[stem] > 1
        )
        for item, stem in zip(videos, stems, strict=True)
    }
