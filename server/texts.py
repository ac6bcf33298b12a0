"""The text of a job in each of its formats: plain, JSON, subtitles."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contract.records import JobRecord
from contract.requests import GenerateRequest, Segment, UnderstandRequest
from contract.subtitles import Cue, srt, vtt
from server.content import Content, rendered
from server.errors import NotFound
from server.fields import MODEL_ID


@dataclass(frozen=True)
class Text:
    """A caption or an answer, and what is known beside it."""

    job_id: str
    text: str
    #: None where nobody has measured it
    duration_s: float | None
    #: what the JSON says, the text included
    facts: dict[str, Any]
    #: stretches of the video with a text of their own; empty where there is one text for all of it
    segments: Sequence[Segment] = ()
    #: the format where none is asked for
    preferred: str = "text"

    def cues(self) -> list[Cue]:
        """Return what is shown when, with one cue over the whole video where it was not cut."""
        if self.segments:
            return [Cue(part.start, part.end, part.text) for part in self.segments]
        return [Cue(0, self.duration_s or 0, self.text)]

    def formats(self) -> list[str]:
        """Return the formats that can be made."""
        return [name for name in _FORMATS if self.duration_s is not None or name not in _TIMED]

    def content(self, name: str | None = None) -> Content:
        """Return the text in a format.

        Raises:
            NotFound: if the text has no duration, and the format needs one.
        """
        name = name or self.preferred
        if name not in self.formats():
            raise NotFound(f"{self.job_id} has no {name}", code="variant_not_available")
        suffix, media_type, render = _FORMATS[name]
        return rendered(render(self).encode(), f"{self.job_id}.{suffix}", media_type)


def video_text(record: JobRecord) -> Text | None:
    """Return the caption of a completed `generate` job, if it has one."""
    request, result = record.parsed_request(), record.result
    assert isinstance(request, GenerateRequest)
    if result is None or result.text is None:
        return None
    facts: dict[str, Any] = {"id": record.id, "caption": result.text, "prompt": request.prompt}
    facts |= {"model": MODEL_ID, "seed": result.seed}
    return Text(record.id, result.text, request.num_frames / request.fps, facts)


def caption_text(record: JobRecord) -> Text | None:
    """Return the text of a completed `understand` job, if it has one."""
    request, result = record.parsed_request(), record.result
    assert isinstance(request, UnderstandRequest)
    if result is None or result.text is None:
        return None
    facts: dict[str, Any] = {"id": record.id, "text": result.text}
    facts |= {"instruction": request.instruction, "model": MODEL_ID, "seed": result.seed}
    preferred = request.response_format or "text"
    return Text(record.id, result.text, result.input_seconds, facts, result.segments, preferred)


def _verbose(text: Text) -> str:
    segments = [{"id": at, **cue._asdict()} for at, cue in enumerate(text.cues())]
    return _json(text.facts | {"duration": text.duration_s, "segments": segments})


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


#: name -> suffix, media type, how it is made
_FORMATS: dict[str, tuple[str, str, Callable[[Text], str]]] = {
    "txt": ("txt", "text/plain; charset=utf-8", lambda text: f"{text.text}\n"),
    "text": ("txt", "text/plain; charset=utf-8", lambda text: f"{text.text}\n"),
    "json": ("json", "application/json", lambda text: _json(text.facts)),
    "vtt": ("vtt", "text/vtt; charset=utf-8", lambda text: vtt(text.cues())),
    "srt": ("srt", "application/x-subrip; charset=utf-8", lambda text: srt(text.cues())),
    "verbose_json": ("json", "application/json", _verbose),
}
_TIMED = ("vtt", "srt", "verbose_json")
