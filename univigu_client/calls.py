"""The requests of this client, as plain values, and the fields that they may carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import IO, Any, Literal, TypedDict, cast
from urllib.parse import urlsplit

import httpx2

from univigu_client.answers import Job
from univigu_client.unchanged import Unchanged

#: environment proxies are not asked for servers on this machine
LOCAL_MOUNTS = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}
TIMEOUT = httpx2.Timeout(60, connect=5)
_URL_SCHEMES = ("http://", "https://", "data:")


class VideoFields(TypedDict, total=False):
    """What a video request may say beside its prompt; what it leaves out is the checkpoint's."""

    mode: Literal["joint", "text_to_video", "video_only"]
    size: str
    num_frames: int
    seconds: float | str
    fps: int
    seed: int
    num_inference_steps: int
    guidance_scale: float
    preview_interval: int
    feature_cache_threshold: float


class CaptionFields(TypedDict, total=False):
    """What a caption request may say beside its video."""

    instruction: str
    seed: int
    num_inference_steps: int
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"]
    segment_seconds: float
    video_refresh_interval: int


@dataclass(frozen=True)
class Call:
    """One request. Of `json` and `form`, one at most is set; an `upload` goes with a form.

    `into` is the file that the body of a good answer becomes; `timeout` in seconds.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    upload: Path | bytes | None = None
    upload_field: str = "video"
    into: Path | None = None
    params: Mapping[str, str | int | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None


def base_url(url: str) -> str:
    """Return a server's address without `/v1` and slashes at its end.

    Raises:
        ValueError: if it is no http or https URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url {url!r}: must be http://HOST[:PORT] or https://HOST[:PORT]")
    return url.rstrip("/").removesuffix("/v1")


def bearer(api_key: str | None) -> dict[str, str]:
    """Return the header that carries a key."""
    return {"authorization": f"Bearer {api_key}"} if api_key else {}


def video_call(prompt: str, fields: VideoFields) -> Call:
    """Return the request for a video."""
    return Call("POST", "/v1/videos", json={"prompt": prompt, **fields})


def caption_call(video: str | PathLike[str] | Job, fields: CaptionFields) -> Call:
    """Return the request for the caption of a file, of the video at a URL, or of a video job."""
    if isinstance(video, Job):
        return Call("POST", "/v1/captions", json={"video_id": video.id, **fields})
    if isinstance(video, str) and video.startswith(_URL_SCHEMES):
        return Call("POST", "/v1/captions", json={"video_url": video, **fields})
    form = {name: str(value) for name, value in fields.items()}
    return Call("POST", "/v1/captions", form=form, upload=Path(video))


def events_call(job: Job, after: str) -> Call:
    """Return the request for a job's events behind an id."""
    return Call("GET", f"{job.path}/events", headers={"last-event-id": after})


def build(
    http: httpx2.Client | httpx2.AsyncClient, call: Call, closing: ExitStack
) -> httpx2.Request:
    """Return the request of a call; the file that it uploads is closed by `closing`.

    Raises:
        OSError: if that file cannot be read.
    """
    files = None
    if call.upload is not None:
        files = {call.upload_field: _content(call.upload, closing)}
    return http.build_request(
        call.method,
        call.path,
        json=call.json,
        data=call.form,
        files=files,
        params=call.params or None,
        headers=call.headers,
        timeout=call.timeout or TIMEOUT,
    )


def _content(upload: Path | bytes, closing: ExitStack) -> tuple[str, IO[bytes] | bytes]:
    if isinstance(upload, bytes):
        return "requests.jsonl", upload
    file = Unchanged(closing.enter_context(upload.open("rb")))
    return upload.name, cast(IO[bytes], file)  # no more of a file is used


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears at `path` once it is written to its end."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
