"""Writes a caption as subtitle text: one cue that lasts as long as the video."""

from __future__ import annotations

from html import escape


def vtt(caption: str, duration_seconds: float) -> str:
    """Return WebVTT text; an empty caption gives a file without cues."""
    cue = f"\n{_span(duration_seconds, '.')}\n{escape(_one_line(caption), quote=False)}\n"
    return "WEBVTT\n" + (cue if _one_line(caption) else "")


def srt(caption: str, duration_seconds: float) -> str:
    """Return SubRip text; an empty caption gives an empty file."""
    cue = f"1\n{_span(duration_seconds, ',')}\n{_one_line(caption)}\n"
    return cue if _one_line(caption) else ""


def _one_line(caption: str) -> str:
    return " ".join(caption.split())  # an empty line would end the cue


def _span(duration_seconds: float, separator: str) -> str:
    seconds, milliseconds = divmod(round(duration_seconds * 1000), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    end = f"{hours:02}:{minutes:02}:{seconds:02}{separator}{milliseconds:03}"
    return f"00:00:00{separator}000 --> {end}"
