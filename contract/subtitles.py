"""Writes texts as subtitles: one cue for each, none for an empty one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Cue(NamedTuple):
    """What is shown from `start` to `end`, in seconds."""

    start: float
    end: float
    text: str


def vtt(cues: Sequence[Cue]) -> str:
    """Return WebVTT text."""
    shown = [
        f"\n{_span(cue, '.')}\n{escape(_one_line(cue.text), quote=False)}\n"
        for cue in _filled(cues)
    ]
    return "WEBVTT\n" + "".join(shown)


def srt(cues: Sequence[Cue]) -> str:
    """Return SubRip text; empty where there is no cue."""
    return "\n".join(
        f"{number}\n{_span(cue, ',')}\n{_one_line(cue.text)}\n"
        for number, cue in enumerate(_filled(cues), 1)
    )


def _filled(cues: Sequence[Cue]) -> list[Cue]:
    return [cue for cue in cues if cue.text.strip()]


def _one_line(text: str) -> str:
    return " ".join(text.split())  # an empty line would end the cue


def _span(cue: Cue, separator: str) -> str:
    return f"{_clock(cue.start, separator)} --> {_clock(cue.end, separator)}"


def _clock(time_seconds: float, separator: str) -> str:
    seconds, milliseconds = divmod(round(time_seconds * 1000), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{milliseconds:03}"
