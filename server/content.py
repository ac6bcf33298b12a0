"""Answers with a file: entity tags, one byte range, and bodies that are never held whole."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from contract.artifacts import ArtifactStore
from server.errors import NotFound, RangeError

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class Content:
    """A file that can be read from any byte on."""

    name: str
    media_type: str
    size: int
    #: entity tag without quotes; empty where there is none
    etag: str
    #: yields the bytes from a first to a last, exclusive
    read: Callable[[int, int], Iterator[bytes]]
    #: returns a URL that gives the same bytes to anybody for a while; None where there is none
    sign: Callable[[], str | None] = lambda: None


def stored(artifacts: ArtifactStore, key: str, job_id: str) -> Content:
    """Return an artifact.

    Raises:
        NotFound: if the record names a file that the store has lost.
    """
    try:
        size, etag = artifacts.stat(key)
    except FileNotFoundError as error:
        raise NotFound(f"the file of {job_id} is gone", code="artifact_missing") from error
    suffix = key.rpartition(".")[2]
    media_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
    return Content(
        f"{job_id}.{suffix}",
        media_type,
        size,
        etag,
        lambda a, b: artifacts.stream(key, a, b),
        lambda: artifacts.signed_url(key),
    )


def rendered(data: bytes, name: str, media_type: str) -> Content:
    """Return a small text made from the record."""
    etag = hashlib.sha256(data).hexdigest()[:32]
    return Content(name, media_type, len(data), etag, lambda a, b: iter([data[a:b]]))


def content_response(content: Content, request: Request, redirect: bool = False) -> Response:
    """Answer GET or HEAD for a file, in full, in part, or with "not modified".

    Args:
        content: the file.
        request: which may name a range and what the client has already.
        redirect: send a GET to where the store serves the file itself, if it does.

    Raises:
        RangeError: if the range asked for lies outside the file.
    """
    if redirect and request.method == "GET" and (url := content.sign()):
        return RedirectResponse(url, 302, headers={"cache-control": "private, no-store"})
    tag = f'"{content.etag}"' if content.etag else ""
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-disposition": f'inline; filename="{content.name}"',
    }
    if tag:
        headers["etag"] = tag
        if tag in re.split(r"\s*,\s*", request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
    part = _asked_part(content.size, tag, request)
    start, end = part or (0, content.size)
    if part:
        headers["content-range"] = f"bytes {start}-{end - 1}/{content.size}"
    headers["content-length"] = str(end - start)
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content.media_type)
    return StreamingResponse(
        content.read(start, end), status, headers=headers, media_type=content.media_type
    )


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return first byte and end (exclusive) of a Range header.

    Returns:
        None for what may be ignored: several ranges, another unit, or no range at all.

    Raises:
        RangeError: if it is a range, but not of this file.
    """
    match = _RANGE.fullmatch(header)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeError(header, size)
    return start, end


def _asked_part(size: int, tag: str, request: Request) -> tuple[int, int] | None:
    header = request.headers.get("range")
    unchanged = request.headers.get("if-range") in (None, tag)
    return parse_range(header, size) if header and unchanged else None
