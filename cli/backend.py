"""What `generate` and `caption` ask of a model, whether it is in this process or on a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cli.items import BadOption
from cli.options import Mode
from cli.settings import ClientSettings, read_settings

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


@dataclass(frozen=True)
class Description:
    """The text, and the video's playing time where it is known."""

    text: str
    seconds: float | None = None


class Backend(Protocol):
    """Does one item at a time; a failing one raises `ItemFailed`, a wrong option `BadOption`."""

    def make_video(self, wish: VideoWish, video: Path, on_step: OnStep) -> str | None:
        """Make the file `video`, whole or not at all, and return its caption if it has one."""
        ...

    def describe(self, wish: TextWish, on_step: OnStep) -> Description:
        """Return the caption of a file, or the answer to the instruction."""
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
