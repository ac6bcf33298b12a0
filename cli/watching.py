"""Waits for videos to arrive: what is new or changed, once nobody writes to it any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from cli.inputs import Found
from cli.items import ItemFailed


def arrivals(
    find: Callable[[], list[Found]], seconds: float
) -> Iterator[tuple[list[Found], list[Found]]]:
    """Yield, for ever, all videos and those of them that have arrived; first what is there.

    Args:
        find: looks for videos.
        seconds: between two looks. A video is taken at the second look at which it is the same.
    """
    told: dict[str, str] = {}
    before: dict[str, str] = {}
    while True:
        videos = {item.name: item for item in find() if item.error is None}
        now = {name: stamp for name, item in videos.items() if (stamp := _stamp(item))}
        ready = [name for name, stamp in now.items() if before.get(name) == stamp != told.get(name)]
        told |= {name: now[name] for name in ready}
        before = now
        if ready:
            yield [*videos.values()], [videos[name] for name in ready]
        time.sleep(seconds)


def _stamp(item: Found) -> str | None:
    try:
        return item.stamp()
    except ItemFailed:  # gone since it was found
        return None
