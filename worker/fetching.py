"""Fetches a video from a URL of a client, who may mean harm, and so may the server behind it.

Every connection, also after a redirect, goes to an address that was checked for it; nothing is
decompressed; the time is counted over the whole of it, from the first name to the last byte.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin

import httpcore2
import httpx2

from contract.addresses import LOOKUP_SECONDS, NoAnswer, check_public, check_url

MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_REDIRECTS = (301, 302, 303, 307, 308)
#: beside `video/*`; what stores answer where nobody told them better
_MEDIA_TYPES = (
    "",
    "application/mp4",
    "application/octet-stream",
    "application/ogg",
    "application/x-matroska",
    "binary/octet-stream",
    "image/gif",
)

FetchErrorCode = Literal[
    "url_not_allowed",
    "fetch_failed",
    "fetch_timeout",
    "file_too_large",
    "unsupported_media_type",
]


class FetchError(Exception):
    """A URL that gives no video.

    Args:
        code: stable.
        message: names value and limit.
        is_transient: whether the same URL may give one later.
    """

    def __init__(self, code: FetchErrorCode, message: str, *, is_transient: bool = False) -> None:
        super().__init__(message)
        self.code: FetchErrorCode = code
        self.is_transient = is_transient


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of one fetch; `allow_private` opens plain `http` and addresses that are not public."""

    max_bytes: int
    max_seconds: float
    allow_private: bool = False


def fetch(url: str, path: Path, limits: FetchLimits) -> None:
    """Write what a URL gives to a file.

    Raises:
        FetchError: if it, or what it redirects to, is not allowed or gives no video in time.
    """
    network = _CheckedNetwork(limits)
    try:
        with httpcore2.ConnectionPool(network_backend=network) as pool:
            for _ in range(MAX_REDIRECTS + 1):
                check_url(url, limits.allow_private)
                location = _get(pool, httpx2.URL(url), path, limits)
                if location is None:
                    return
                url = urljoin(url, location)
    except (ValueError, httpx2.InvalidURL) as error:
        raise FetchError("url_not_allowed", str(error)) from error
    except httpcore2.TimeoutException as error:
        message = f"the video did not arrive within the limit of {limits.max_seconds:g} s"
        raise FetchError("fetch_timeout", message, is_transient=True) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        # no later try makes a wrong certificate right
        is_transient = not any(isinstance(why, ssl.SSLCertVerificationError) for why in error.args)
        message = f"the server of the video failed: {error}"
        raise FetchError("fetch_failed", message, is_transient=is_transient) from error
    raise FetchError("url_not_allowed", f"more than {MAX_REDIRECTS} redirects")


def _get(
    pool: httpcore2.ConnectionPool, url: httpx2.URL, path: Path, limits: FetchLimits
) -> str | None:
    """Save the body of an answer; return instead where it redirects to."""
    headers: dict[bytes | str, bytes | str] = {
        b"host": url.netloc,
        b"user-agent": b"univigu/1",
        b"accept": b"video/*, */*;q=0.1",
        b"accept-encoding": b"identity",
    }
    target = httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
    with pool.stream("GET", target, headers=headers) as response:
        found = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in _REDIRECTS and b"location" in found:
            return found[b"location"]
        if response.status != 200:
            message = f"the server of the video answered {response.status}"
            raise FetchError("fetch_failed", message, is_transient=response.status >= 500)
        _check_headers(found, limits)
        _save(response.iter_stream(), path, limits)
    return None


def _check_headers(found: dict[bytes, str], limits: FetchLimits) -> None:
    media_type = found.get(b"content-type", "").partition(";")[0].strip().lower()
    if not media_type.startswith("video/") and media_type not in _MEDIA_TYPES:
        message = f"the URL gives {media_type[:80]!r}; allowed: video/*"
        raise FetchError("unsupported_media_type", message)
    encoding = found.get(b"content-encoding", "identity").strip().lower()
    if encoding != "identity":
        message = f"the URL gives content that is encoded as {encoding[:80]!r}; allowed: identity"
        raise FetchError("unsupported_media_type", message)
    length = found.get(b"content-length", "0")
    if length.isdecimal() and int(length) > limits.max_bytes:
        raise _too_large(limits)


def _save(chunks: Iterable[bytes], path: Path, limits: FetchLimits) -> None:
    written = 0
    with path.open("wb") as file:
        for chunk in chunks:
            written += len(chunk)
            if written > limits.max_bytes:
                raise _too_large(limits)
            file.write(chunk)


def _too_large(limits: FetchLimits) -> FetchError:
    return FetchError("file_too_large", f"the file is over the limit of {limits.max_bytes} bytes")


class _CheckedNetwork(httpcore2.NetworkBackend):
    """Connects to addresses that were checked, and to nothing else, until the time is over."""

    def __init__(self, limits: FetchLimits) -> None:
        self._allow_private = limits.allow_private
        self._end = time.monotonic() + limits.max_seconds
        self._network = httpcore2.SyncBackend()

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutException: if there are none.
        """
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise httpcore2.ReadTimeout
        return seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Resolve the host once, and connect to what was checked."""
        addresses = self._checked(host, port)
        for address in addresses[:-1]:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return self._connect(address, port)
        return self._connect(addresses[-1], port)

    def _checked(self, host: str, port: int) -> list[str]:
        seconds = min(LOOKUP_SECONDS, self.left())
        try:
            return check_public(host, port, self._allow_private, seconds)
        except NoAnswer as error:
            raise httpcore2.ConnectError(str(error)) from error

    def _connect(self, address: str, port: int) -> httpcore2.NetworkStream:
        seconds = min(_CONNECT_SECONDS, self.left())
        return _TimedStream(self._network.connect_tcp(address, port, seconds), self)


class _TimedStream(httpcore2.NetworkStream):
    """A connection on which nothing takes longer than the time that is left in all."""

    def __init__(self, stream: httpcore2.NetworkStream, network: _CheckedNetwork) -> None:
        self._stream, self._network = stream, network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._network.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.left())

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        seconds = self._network.left()
        return _TimedStream(
            self._stream.start_tls(ssl_context, server_hostname, seconds), self._network
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
