"""The clips of a run: every usable line of its manifests, coded, and a report of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from model.text import caption_ids
from model.training.clip_cache import CachedConditions, CachedLatents, ClipCache
from model.training.data import NULL_PROMPT
from model.training.manifest import Entry, Skipped, read_entries


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
    skipped: list[Skipped]


@dataclass(frozen=True)
class Wanted:
    """What a line must have to be trained on."""

    split: str
    needs_caption: bool
    tokenizer: PreTrainedTokenizerBase
    caption_length: int

    def check(self, entry: Entry) -> None:
        """Refuse what cannot be trained on.

        Raises:
            ValueError: naming the field.
        """
        if self.needs_caption and entry.caption is None:
            raise ValueError("caption None: this stage learns to write it")
        texts = [entry.prompt, *([entry.caption] if entry.caption else [])]
        caption_ids(self.tokenizer, texts, self.caption_length)


def code_clips(
    sources: Sequence[str],
    cache: ClipCache,
    wanted: Wanted,
    condition_length: int,
    report: Path,
    on_clip: Callable[[int], None] = lambda count: None,
) -> Clips:
    """Code every usable line and write the others, with their reasons, to `report` (JSONL).

    Raises:
        ValueError: if a source cannot be read, or no line is left.
    """
    words, files, skipped = [], [], []
    prompts = {NULL_PROMPT: cache.add_prompt(NULL_PROMPT)}
    for found in _all_entries(sources):
        if isinstance(found, Entry) and found.split != wanted.split:
            continue
        coded = _code(found, cache, wanted) if isinstance(found, Entry) else found
        if isinstance(coded, Skipped):
            skipped.append(coded)
            continue
        assert isinstance(found, Entry)
        clip, prompts[found.prompt] = coded
        files.append(clip)
        words.append(ClipWords(found.prompt, found.caption))
        on_clip(len(files))
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("".join(json.dumps(asdict(line)) + "\n" for line in skipped))
    if not words:
        raise ValueError(f"manifest {', '.join(sources)}: no clip can be used; see {report}")
    conditions = CachedConditions(prompts, condition_length)
    return Clips(words, CachedLatents(files), conditions, skipped)


def _all_entries(sources: Sequence[str]) -> Iterator[Entry | Skipped]:
    for source in sources:
        yield from read_entries(source)


def _code(entry: Entry, cache: ClipCache, wanted: Wanted) -> tuple[Path, Path] | Skipped:
    try:
        wanted.check(entry)
        return cache.add_clip(entry.read()), cache.add_prompt(entry.prompt)
    except Exception as error:  # a clip's own trouble, whatever decoder or store it comes from
        return Skipped(entry.place, f"{error}" or type(error).__name__)
