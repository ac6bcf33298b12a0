"""What the server can be asked beside jobs and files, as flows."""

from __future__ import annotations

import httpx2

from univigu_client.answers import Hit, read_hits
from univigu_client.calls import Call
from univigu_client.flows import SHORT_SECONDS, Flow, answered


def search(query: str, limit: int = 20) -> Flow[list[Hit]]:
    """Return jobs whose texts have these words, best first."""
    answer = yield from answered(Call("GET", "/v1/search", params={"q": query, "limit": limit}))
    return read_hits(answer)


def checkpoint() -> Flow[str]:
    """Return name and content hash of the loaded checkpoint."""
    answer = yield from answered(Call("GET", "/v1/models/univigu"))
    return str(answer.json()["checkpoint"])


def is_ready() -> Flow[bool]:
    """Ask once whether a job would be done now."""
    try:
        answer: httpx2.Response = yield Call("GET", "/readyz", timeout=SHORT_SECONDS)
    except httpx2.TransportError:
        return False
    return answer.status_code == 200
