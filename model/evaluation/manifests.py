"""Captions of real clips against those of the manifests that training takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from model.evaluation.caption_metrics import score_captions
from model.evaluation.checker import Frames
from model.evaluation.outcomes import Shot
from model.evaluation.sampling import BatchSampler, Knobs
from model.evaluation.scores import Evaluation, load_sampler, provenance
from model.training.clip_file import decode_clip
from model.training.manifest import Entry, Skipped, read_entries


@dataclass(frozen=True)
class ManifestClips:
    """Which clips to caption.

    Args:
        sources: manifests or shards, as `read_entries` takes them.
        split: of which split; None for all.
        seed: the i-th clip is captioned with this seed + i.
        most_shots: of how many clips, at most, frames are kept; None for all.
    """

    sources: Sequence[str]
    split: str | None = None
    seed: int = 0
    most_shots: int | None = None


@dataclass(frozen=True)
class Captioned:
    """A clip with what was said about it."""

    place: str
    caption: str
    reference: str


def evaluate_manifests(
    checkpoint: Path,
    clips: ManifestClips,
    knobs: Knobs,
    device: str | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Caption the clips of manifests and compare with their captions.

    Args:
        checkpoint: checkpoint folder.
        clips: which clips.
        knobs: how to sample.
        device: torch device; None for CUDA if there is one.
        on_progress: called with the number of clips done.

    Returns:
        `figures` with "clips", what `provenance` says, "measures" as `score_captions` has them,
        "captions" (one object per clip) and "skipped" (place and reason of the lines that were
        left out); a shot per clip, in the same order, as long as there is room.

    Raises:
        ValueError: if a source cannot be read, or no clip can be used.
    """
    sampler = load_sampler(checkpoint, knobs, device)
    skipped: list[Skipped] = []
    captioned: list[Captioned] = []
    shots: list[Shot] = []
    usable = _usable(sampler, clips, skipped)
    while batch := list(islice(usable, knobs.batch_size)):
        seeds = range(clips.seed + len(captioned), clips.seed + len(captioned) + len(batch))
        texts = sampler.understand([frames for _, frames in batch], seeds)
        for (entry, frames), text in zip(batch, texts, strict=True):
            assert entry.caption is not None
            captioned.append(Captioned(entry.place, text, entry.caption))
            if clips.most_shots is None or len(shots) < clips.most_shots:
                shots.append(Shot.of(entry.place, frames, caption=text, reference=entry.caption))
        on_progress(len(captioned))
    if not captioned:
        raise ValueError(f"{', '.join(clips.sources)}: no clip can be used; {_first(skipped)}")
    scores = score_captions([c.caption for c in captioned], [c.reference for c in captioned])
    figures = {
        **provenance(checkpoint, sampler, clips.seed),
        "clips": len(captioned),
        "measures": {"captions": {clips.split or "all": scores}},
        "captions": [asdict(one) for one in captioned],
        "skipped": [asdict(one) for one in skipped],
    }
    return Evaluation(figures, shots)


def _usable(
    sampler: BatchSampler, clips: ManifestClips, skipped: list[Skipped]
) -> Iterator[tuple[Entry, Frames]]:
    for source in clips.sources:
        for found in read_entries(source):
            if isinstance(found, Skipped):
                skipped.append(found)
            elif clips.split in (None, found.split):
                try:
                    yield found, _frames(sampler, found)
                except Exception as error:  # a clip's own trouble, whatever decoder or store it is
                    skipped.append(Skipped(found.place, f"{error}" or type(error).__name__))


def _frames(sampler: BatchSampler, entry: Entry) -> Frames:
    if entry.caption is None:
        raise ValueError("caption None: there is nothing to compare with")
    clip = decode_clip(entry.read(), sampler.num_frames, sampler.height, sampler.width)
    return np.asarray(clip)


def _first(skipped: list[Skipped]) -> str:
    if not skipped:
        return "none is of the split"
    return f"the first: {skipped[0].place}: {skipped[0].error}"
