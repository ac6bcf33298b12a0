"""What `generate` and `caption` ask of a model, whether it is in this process or on a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cli.items import BadOption
from cli.options import Mode
from cli.settings import ClientSettings, read_settings
from contract.subtitles import Cue

#: called with steps done and steps in all
OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class VideoWish:
    """A video to make; None takes the checkpoint's default."""

    prompt: str
    mode: Mode
    seed: int
    num_inference_steps: int | None
    guidance_scale: float | None


@dataclass(frozen=True)
class TextWish:
    """A video to caption, or to answer `instruction` about."""

    path: Path
    instruction: str | None
    seed: int
    #: cut the video into segments of so many seconds and tell of each
    segment_seconds: float | None = None
    #: the same wherever this very wish is made again
    key: str | None = None


@dataclass(frozen=True)
class Description:
    """The text, how long the video plays, and the text of each segment where it was cut."""

    text: str
    seconds: float
    segments: Sequence[Cue] = ()

    def cues(self) -> Sequence[Cue]:
        """Return what is shown when."""
        return self.segments or [Cue(0, self.seconds, self.text)]


class Describer(Protocol):
    """Does an item; a failing one raises `ItemFailed`, a wrong option `BadOption`."""

    #: items that may be done at the same time, and that are if nobody says
    max_jobs: int
    usual_jobs: int

    def checkpoint(self) -> str:
        """Return name and content hash of the model."""
        ...

    def describe(self, wish: TextWish, on_step: OnStep) -> Description:
        """Return the caption of a file, or the answer to the instruction."""
        ...


class Backend(Describer, Protocol):
    """Makes videos as well."""

    def make_video(self, wish: VideoWish, video: Path, on_step: OnStep) -> str | None:
        """Make the file `video`, whole or not at all, and return its caption if it has one."""
        ...

    def for_many(self, count: int, index: Path) -> AbstractContextManager[Describer]:
        """Give what describes so many videos best; the index is a file for what it has to note."""
        ...


@contextmanager
def open_backend(url: str | None, checkpoint: Path | None) -> Iterator[Backend]:
    """Give the server at `url` or UNIVIGU_URL, or else the model in this process.

    Raises:
        BadOption: if the URL is none, or a checkpoint is named for a server.
    """
    settings = read_settings(ClientSettings, url=url)
    if settings.url is None:
        try:
            from cli.in_process import LocalModel
        except ImportError as error:
            needs = "this needs the 'worker' extra, or a server: set --url"
            raise BadOption(f"{needs} ({error})") from error
        from worker.settings import WorkerSettings

        yield LocalModel(read_settings(WorkerSettings, checkpoint=checkpoint))
        return
    from cli.remote import RemoteModel
    from univigu_client import Client

    if checkpoint is not None:
        raise BadOption(f"--checkpoint does not go with a server: {settings.url} has its own")
    key = settings.api_key.get_secret_value() if settings.api_key else None
    try:
        client = Client(settings.url, key)
    except ValueError as error:
        raise BadOption(str(error)) from error
    with client:
        yield RemoteModel(client)
