"""The clips of a run: every usable line of its manifests, coded, and a report of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from model.text import caption_ids
from model.training.clip_cache import CachedConditions, CachedLatents, ClipCache
from model.training.data import NULL_PROMPT
from model.training.manifest import Entry, Skipped, read_entries
from model.training.processes import Processes

#: called with lines done and the place of the last one
OnLine = Callable[[int, str], None]


@dataclass(frozen=True)
class ClipWords:
    """What a manifest says about a clip, as `draw_samples` asks for it."""

    text: str
    detailed: str | None

    def prompt(self, form: int) -> str:
        """Return the prompt: a manifest has one form of it."""
        return self.text

    def open_prompt(self, kept: Sequence[str]) -> str:
        """Return the prompt: a manifest does not say what it leaves open."""
        return self.text

    def caption(self) -> str:
        """Return the detailed caption."""
        assert self.detailed is not None, "clips without caption are left out where one is needed"
        return self.detailed


@dataclass(frozen=True)
class Clips:
    """The coded clips of one split."""

    words: list[ClipWords]
    latents: CachedLatents
    conditions: CachedConditions


@dataclass(frozen=True)
class Wanted:
    """What a line must have to be trained on."""

    split: str
    needs_caption: bool
    #: whether captions are conditions, too
    asks_by_caption: bool
    tokenizer: PreTrainedTokenizerBase
    caption_length: int

    def check(self, entry: Entry) -> None:
        """Refuse what cannot be trained on.

        Raises:
            ValueError: naming the field.
        """
        if self.needs_caption and entry.caption is None:
            raise ValueError("caption None: this stage needs one")
        texts = [entry.prompt, *([entry.caption] if entry.caption else [])]
        caption_ids(self.tokenizer, texts, self.caption_length)


@dataclass(frozen=True)
class _Coded:
    words: ClipWords
    latents: Path
    conditions: dict[str, Path]


def code_clips(
    sources: Sequence[str],
    cache: ClipCache,
    wanted: Wanted,
    condition_length: int,
    report: Path,
    processes: Processes,
    on_line: OnLine,
) -> Clips:
    """Code every usable line and write the others, with their reasons, to `report` (JSONL).

    Many processes share the lines out among themselves, and all return the same. `on_line` is
    called with how many lines this process has done, and the last one's place.

    Raises:
        ValueError: if a source cannot be read, or no line is left.
    """
    lines = (
        found
        for found in _all_entries(sources)
        if isinstance(found, Skipped) or found.split == wanted.split
    )
    mine: list[_Coded | Skipped] = []
    for found in islice(lines, processes.index, None, processes.count):
        mine.append(_code(found, cache, wanted) if isinstance(found, Entry) else found)
        on_line(len(mine), found.place)
    shares = zip_longest(*processes.collect(mine))
    everyone_s = [line for together in shares for line in together if line is not None]
    coded = [line for line in everyone_s if isinstance(line, _Coded)]
    skipped = [line for line in everyone_s if isinstance(line, Skipped)]
    if processes.is_first:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("".join(json.dumps(asdict(line)) + "\n" for line in skipped))
    if not coded:
        raise ValueError(f"manifest {', '.join(sources)}: no clip can be used; see {report}")
    texts = {text: path for line in coded for text, path in line.conditions.items()}
    texts[NULL_PROMPT] = cache.add_text(NULL_PROMPT)
    conditions = CachedConditions(texts, condition_length)
    return Clips([c.words for c in coded], CachedLatents([c.latents for c in coded]), conditions)


def _all_entries(sources: Sequence[str]) -> Iterator[Entry | Skipped]:
    for source in sources:
        yield from read_entries(source)


def _code(entry: Entry, cache: ClipCache, wanted: Wanted) -> _Coded | Skipped:
    try:
        wanted.check(entry)
        words = ClipWords(entry.prompt, entry.caption)
        latents = cache.add_clip(entry.read())
        conditions = {entry.prompt: cache.add_text(entry.prompt)}
        if wanted.asks_by_caption:
            conditions[words.caption()] = cache.add_text(words.caption(), "caption")
        return _Coded(words, latents, conditions)
    except Exception as error:  # a clip's own trouble, whatever decoder or store it comes from
        return Skipped(entry.place, f"{error}" or type(error).__name__)
