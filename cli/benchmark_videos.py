"""Videos of a prompt list, named as VBench looks for them: `PROMPT-INDEX.mp4`, and a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.appended import AppendedLines
from cli.backend import Backend, VideoWish
from cli.items import BadOption, ItemFailed, Rows, VideoRow
from cli.terminal import ItemBars, progress_bar
from contract.requests import MAX_SEED

MANIFEST = "manifest.jsonl"
#: what file systems take, in bytes
_NAME_LIMIT = 255


@dataclass(frozen=True)
class Sampling:
    """How the videos are made.

    Args:
        samples: videos per prompt; VBench asks for 5, and for 25 of its flickering prompts.
        seed: the i-th video of the whole list has this seed + i.
        num_inference_steps: None for the checkpoint's.
        guidance_scale: None for the checkpoint's.
    """

    samples: int
    seed: int
    num_inference_steps: int | None = None
    guidance_scale: float | None = None


def read_prompt_list(path: Path) -> list[str]:
    """Read prompts: lines of a text file, or the `prompt_en` of VBench's JSON list; each once.

    Raises:
        BadOption: if the file cannot be read, is not of that form, or is empty.
    """
    try:
        text = path.read_text("utf-8")
        lines = text.splitlines()
        if path.suffix == ".json":
            lines = [entry["prompt_en"] for entry in json.loads(text)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadOption(f"--prompts {path}: {error!r}") from error
    prompts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not prompts:
        raise BadOption(f"--prompts {path}: there is no prompt in it")
    return prompts


def make_benchmark(
    backend: Backend, prompts: Sequence[str], out: Path, sampling: Sampling, rows: Rows
) -> None:
    """Make what is not there yet of the videos, and add each to the manifest once it is whole.

    Raises:
        BadOption: if the folder cannot be written, or the seeds go too far.
    """
    if sampling.seed + len(prompts) * sampling.samples - 1 > MAX_SEED:
        raise BadOption(f"--seed {sampling.seed}: the last video's is above {MAX_SEED}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOption(f"--out {out}: {error.strerror}") from error
    with AppendedLines(out / MANIFEST) as manifest, progress_bar() as bar:
        known = {(line.get("video"), line.get("seed")): line for line in manifest.before}
        bars = ItemBars(bar, len(prompts) * sampling.samples)
        for prompt, name, seed in _videos(prompts, sampling):
            video, line = out.absolute() / name, known.get((name, seed))
            if line and video.is_file():
                rows.add(VideoRow("skipped", str(video), line["caption"], seed, prompt, None))
            else:
                row = _make(backend, _wish(prompt, seed, sampling), video, bars)
                if row.status == "completed" and line is None:
                    fields = {"video": name, "prompt": prompt, "caption": row.caption}
                    manifest.add(fields | {"split": "test", "seed": seed})
                rows.add(row)
            bars.next_item()


def _videos(prompts: Sequence[str], sampling: Sampling) -> Iterator[tuple[str, str, int]]:
    for number, prompt in enumerate(prompts):
        for index in range(sampling.samples):
            seed = sampling.seed + number * sampling.samples + index
            yield prompt, f"{prompt}-{index}.mp4", seed


def _wish(prompt: str, seed: int, sampling: Sampling) -> VideoWish:
    steps, guidance = sampling.num_inference_steps, sampling.guidance_scale
    return VideoWish(prompt, "joint", seed, steps, guidance)


def _make(backend: Backend, wish: VideoWish, video: Path, bars: ItemBars) -> VideoRow:
    try:
        _check_name(wish.prompt, video.name)
        caption = backend.make_video(wish, video, bars.step)
    except ItemFailed as error:
        return VideoRow("failed", None, None, wish.seed, wish.prompt, str(error))
    return VideoRow("completed", str(video), caption, wish.seed, wish.prompt, None)


def _check_name(prompt: str, name: str) -> None:
    if "/" in prompt or "\0" in prompt or len(name.encode()) > _NAME_LIMIT:
        raise ItemFailed(f"prompt: cannot be a file name of {_NAME_LIMIT} bytes", is_final=True)
