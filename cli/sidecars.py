"""The text files beside a video: caption, subtitles, JSON, and a record of a failure.

Each is written whole or not at all. A failure has a file of its own, so that an error never reads
as a caption.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cli.backend import Description, TextWish
from cli.inputs import Found
from cli.items import ItemFailed
from contract.subtitles import Cue, srt, vtt

FORMATS = ("txt", "vtt", "srt", "json")
_TIMED = ("vtt", "srt")
_ERROR = "error.json"


@dataclass(frozen=True)
class Sidecars:
    """The files of one video.

    `stem` is their path without suffix; it ends with the video's name where two videos of one call
    differ in their suffix alone. `are_shared` says that another video would write the same files.
    """

    stem: Path
    formats: Sequence[str]
    are_shared: bool = False

    def are_there(self) -> bool:
        """Whether every format has been written."""
        return all(self._path(name).is_file() for name in self.formats)

    def text(self) -> str | None:
        """Return the caption that was written; None where no format holds it as it was."""
        if "json" in self.formats:
            content: str = json.loads(self._path("json").read_text("utf-8"))["text"]
            return content
        if "txt" in self.formats:
            return self._path("txt").read_text("utf-8").removesuffix("\n")
        return None

    def failure(self) -> str | None:
        """Return the error of an earlier call; None if there was none."""
        try:
            found: str = json.loads(self._path(_ERROR).read_text("utf-8"))["error"]
        except FileNotFoundError:
            return None
        return found

    def write(self, wish: TextWish, found: Description) -> None:
        """Write every format, and forget an earlier failure.

        Raises:
            ItemFailed: if a file cannot be written, or the playing time cannot be found.
        """
        texts = {name: _render(name, wish, found) for name in self.formats}
        self._replace(texts)
        self._path(_ERROR).unlink(missing_ok=True)

    def write_failure(self, path: Path, error: str) -> None:
        """Record that this video cannot be captioned.

        Raises:
            ItemFailed: if the record cannot be written.
        """
        record = {"file": str(path), "status": "failed", "error": error}
        self._replace({_ERROR: json.dumps(record, ensure_ascii=False) + "\n"})

    def _path(self, suffix: str) -> Path:
        return self.stem.with_name(f"{self.stem.name}.{suffix}")

    def _replace(self, texts: Mapping[str, str]) -> None:
        with ExitStack() as cleaning:
            try:
                self.stem.parent.mkdir(parents=True, exist_ok=True)
                for suffix, text in texts.items():
                    partial = self._path(suffix).with_name(f".{self.stem.name}.{suffix}.partial")
                    cleaning.callback(partial.unlink, missing_ok=True)
                    partial.write_text(text, "utf-8")
                for suffix in texts:
                    path = self._path(suffix)
                    path.with_name(f".{path.name}.partial").replace(path)
            except OSError as error:
                raise ItemFailed(f"cannot write beside it: {error}", is_final=False) from error


def place_sidecars(
    videos: Sequence[Found], out: Path | None, formats: Sequence[str]
) -> dict[Path, Sidecars]:
    """Return where each video's sidecars go.

    Without `out` that is beside the video, with it at the same place below it.
    """
    folders = [out.absolute() / item.below.parent if out else item.path.parent for item in videos]
    stems = [folder / item.path.stem for folder, item in zip(folders, videos, strict=True)]
    count = Counter(stems)
    for at, item in enumerate(videos):
        if count[stems[at]] > 1:
            stems[at] = folders[at] / item.path.name
    count = Counter(stems)
    return {
        item.path: Sidecars(stem, formats, are_shared=count[stem] > 1)
        for item, stem in zip(videos, stems, strict=True)
    }


def _render(name: str, wish: TextWish, found: Description) -> str:
    if name == "txt":
        return found.text + "\n"
    if name == "json":
        content = {
            "file": str(wish.path),
            "text": found.text,
            "instruction": wish.instruction,
            "seed": wish.seed,
        }
        return json.dumps(content, ensure_ascii=False) + "\n"
    seconds = _playing_seconds(wish.path) if found.seconds is None else found.seconds
    return {"vtt": vtt, "srt": srt}[name]([Cue(0, seconds, found.text)])


def _playing_seconds(path: Path) -> float:
    from worker.video_io import VideoError, read_clip_in_child

    with tempfile.TemporaryDirectory(prefix="univigu-caption-") as folder:
        try:
            clip = read_clip_in_child(
                path, num_frames=1, height=16, width=16, directory=Path(folder)
            )
        except VideoError as error:
            raise ItemFailed(str(error), is_final=True) from error
    return clip.info.duration_seconds
