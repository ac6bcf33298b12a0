"""Read the attributes back out of a caption in the world's fixed wording."""

from __future__ import annotations

import re

_MOTIONS = {
    "moves from right to left across": "left",
    "moves from left to right across": "right",
    "rises from bottom to top across": "up",
    "falls from top to bottom across": "down",
    "stays still on": "still",
    "grows over time on": "growing",
    "shrinks over time on": "shrinking",
}
_FORM = re.compile(
    r"a (?P<size>\w+) (?P<color>\w+) (?P<shape>\w+) (?P<motion>[\w ]+?) "
    r"a plain (?P<background>\w+) background \."
)


def parse_caption(text: str) -> dict[str, str]:
    """Return the five attributes of a caption, {} where the wording is not the world's."""
    match = _FORM.fullmatch(text)
    if match is None or match["motion"] not in _MOTIONS:
        return {}
    return match.groupdict() | {"motion": _MOTIONS[match["motion"]]}
