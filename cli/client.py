"""A synchronous client of the HTTP API: create a job, wait for it, fetch what it made.

Reading is repeated when the network fails. Creating is repeated only where no job can have been
made: no connection came about, or the server said that it takes none yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx2

from cli.answers import ApiError, Job, Kind, checked, find_error, read_job
from server.settings import is_loopback

OnProgress = Callable[[int], None]
T = TypeVar("T")

#: the server's own limit for a job is an hour; it may have to wait for others before
JOB_SECONDS = 4 * 3600.0
_TRIES = 4
_PAUSE_SECONDS = 0.2
#: how long a server may say that it is loading or full
_BUSY_SECONDS = 300.0
_BUSY_CODES = ("model_loading", "queue_full")
_TIMEOUT = httpx2.Timeout(60, connect=5)


class Client:
    """Talks to one server.

    Args:
        url: its address, e.g. `http://127.0.0.1:8000`.
        api_key: sent as a bearer token.

    Raises:
        ValueError: if the address is no http or https URL.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {url!r}: must be http://HOST[:PORT] or https://HOST[:PORT]")
        self.url = url.rstrip("/").removesuffix("/v1")
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=_TIMEOUT,
            # a proxy of the environment does not lead to this machine
            trust_env=not is_loopback(parts.hostname),
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._http.close()

    def is_ready(self) -> bool:
        """Whether the server says that a job would be done now."""
        try:
            return self._http.get("/readyz", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def create_video(self, **fields: Any) -> Job:
        """Start a video job; `fields` are those of `POST /v1/videos`.

        Raises:
            ApiError: if the server refuses or cannot be reached.
        """
        return self._create("videos", lambda: self._http.post("/v1/videos", json=fields))

    def create_caption(self, video: Path, **fields: Any) -> Job:
        """Upload a video and start a caption job for it.

        Raises:
            ApiError: if the server refuses or cannot be reached.
            OSError: if the file cannot be read.
        """

        def post() -> httpx2.Response:
            texts = {name: str(value) for name, value in fields.items()}
            with video.open("rb") as file:
                upload = {"video": (video.name, file)}
                return self._http.post("/v1/captions", data=texts, files=upload)

        return self._create("captions", post)

    def wait(
        self, job: Job, on_progress: OnProgress | None = None, seconds: float = JOB_SECONDS
    ) -> Job:
        """Poll at the server's pace until the job has ended.

        The job is cancelled where the caller is interrupted or `seconds` are over.

        Raises:
            ApiError: if the server cannot be reached for long, or the time is over.
        """
        deadline = time.monotonic() + seconds
        with ExitStack() as on_leaving:
            on_leaving.callback(self.cancel, job)
            while not job.has_ended:
                if time.monotonic() >= deadline:
                    raise ApiError(0, f"{job.id} is still {job.status} after {seconds:g} s")
                time.sleep(min(job.poll_seconds, max(0.0, deadline - time.monotonic())))
                job = self._retrieve(job)
                if on_progress:
                    on_progress(job.progress)
            on_leaving.pop_all()
        return job

    def cancel(self, job: Job) -> None:
        """Ask for a job to stop; a server that is gone needs no telling."""
        with suppress(httpx2.TransportError):
            self._http.post(f"/v1/{job.kind}/{job.id}/cancel", timeout=5)

    def download(self, job: Job, path: Path) -> None:
        """Write the MP4 of a completed video job.

        Raises:
            ApiError: if the server has none or cannot be reached.
        """

        def fetch() -> None:
            with (
                self._http.stream("GET", f"/v1/videos/{job.id}/content") as answer,
                path.open("wb") as file,
            ):
                if answer.is_error:
                    answer.read()
                checked(answer)
                for chunk in answer.iter_bytes():
                    file.write(chunk)

        self._patiently(fetch)

    def _retrieve(self, job: Job) -> Job:
        path = f"/v1/{job.kind}/{job.id}"
        return read_job(job.kind, self._patiently(lambda: checked(self._http.get(path))))

    def _create(self, kind: Kind, post: Callable[[], httpx2.Response]) -> Job:
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            answer = _connected(post, self.url)
            error = find_error(answer)
            if error is None:
                return read_job(kind, answer)
            if error.code not in _BUSY_CODES or time.monotonic() >= deadline:
                raise error
            time.sleep(float(answer.headers.get("retry-after", 2)))

    def _patiently(self, read: Callable[[], T]) -> T:
        for attempt in range(1, _TRIES + 1):
            try:
                return read()
            except (httpx2.TransportError, ApiError) as error:
                is_lasting = isinstance(error, ApiError) and error.status < 500
                if is_lasting or attempt == _TRIES:
                    raise _as_api_error(error, self.url) from error
                time.sleep(_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("unreachable")


def _connected(post: Callable[[], httpx2.Response], url: str) -> httpx2.Response:
    for attempt in range(1, _TRIES + 1):
        try:
            return post()
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            if attempt == _TRIES:
                raise _as_api_error(error, url) from error
            time.sleep(_PAUSE_SECONDS * 2**attempt)
        except httpx2.TransportError as error:
            raise _as_api_error(error, url) from error
    raise AssertionError("unreachable")


def _as_api_error(error: Exception, url: str) -> ApiError:
    if isinstance(error, ApiError):
        return error
    return ApiError(0, f"no answer from {url}: {error or type(error).__name__}")
