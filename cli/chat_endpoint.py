"""A language model behind an OpenAI-compatible endpoint, asked no faster than it may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from cli.items import BadOption, ItemFailed
from univigu_client.calls import LOCAL_MOUNTS

_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.5
#: longer than this nobody waits because a server asks for it
_LONGEST_PAUSE_SECONDS = 120.0
#: answers that a later try can better
_PASSING = (408, 409, 425, 429)
#: answers that every request would get
_REFUSALS = (401, 403, 404)

Message = dict[str, Any]


class ChatEndpoint:
    """Asks one model, any number of questions at a time.

    Args:
        url: address up to and with the version, e.g. `http://127.0.0.1:8000/v1`.
        model: what the endpoint calls it.
        api_key: sent as a bearer token.
        requests_per_minute: how many requests may be started in a minute; None for no limit.

    Raises:
        BadOption: if the address is no http or https URL.
    """

    def __init__(
        self,
        url: str,
        model: str,
        api_key: str | None = None,
        requests_per_minute: float | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadOption(f"url {url!r}: must be http://HOST[:PORT]/v1 or https://HOST[:PORT]/v1")
        self._model = model
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next_start = 0.0
        self._http = httpx2.AsyncClient(
            base_url=f"{url.rstrip('/').removesuffix('/chat/completions')}/",
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx2.Timeout(300, connect=5),
            mounts=LOCAL_MOUNTS,
        )

    async def __aenter__(self) -> Self:
        """Return the endpoint itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def ask(self, messages: Sequence[Message]) -> str:
        """Return the answer to a conversation, in one line.

        Args:
            messages: as in the chat completions API.

        Raises:
            BadOption: if the endpoint refuses every request like this one.
            ItemFailed: if this conversation gets no whole answer.
        """
        body = {"model": self._model, "messages": list(messages)}
        for attempt in range(1, _TRIES + 1):
            await self._turn()
            try:
                answer = await self._http.post("chat/completions", json=body)
            except httpx2.TransportError as error:
                reason, pause = f"no answer: {error or type(error).__name__}", None
            else:
                if answer.is_success:
                    return _text(answer)
                reason, pause = _refusal(answer)
            if attempt < _TRIES:
                backoff = _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
                await asyncio.sleep(
                    min(_LONGEST_PAUSE_SECONDS, backoff if pause is None else pause)
                )
        raise ItemFailed(reason, is_final=False)

    async def _turn(self) -> None:
        start = max(time.monotonic(), self._next_start)
        self._next_start = start + self._interval
        await asyncio.sleep(start - time.monotonic())


def _text(answer: httpx2.Response) -> str:
    try:
        (choice, *_) = answer.json()["choices"]
        content, reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, KeyError, TypeError) as error:
        raise ItemFailed(f"the answer is no chat completion: {error!r}", is_final=False) from error
    if reason == "length":
        raise ItemFailed("the answer was cut off at the model's limit", is_final=False)
    if not isinstance(content, str) or not content.strip():
        raise ItemFailed(f"the answer is empty ({reason})", is_final=False)
    return " ".join(content.split())


def _refusal(answer: httpx2.Response) -> tuple[str, float | None]:
    """Return what a refusal says and how long to wait, or raise if waiting does not help."""
    try:
        said = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = answer.text[:200]
    reason = f"status {answer.status_code}: {said}"
    if answer.status_code in _REFUSALS:
        raise BadOption(f"{answer.url}: {reason}")
    if answer.status_code < 500 and answer.status_code not in _PASSING:
        raise ItemFailed(reason, is_final=True)
    try:
        return reason, float(answer.headers["retry-after"])
    except (KeyError, ValueError):
        return reason, None
