"""`univigu generate`: prompts become videos with captions, here or on a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.items import BadOption, ItemFailed, Rows, VideoRow, write_lines
from cli.options import AsJson, Checkpoint, Mode, Url
from cli.terminal import ItemBars, interruptible, progress_bar, refuse

if TYPE_CHECKING:
    from cli.backend import Backend, OnStep, VideoWish
    from cli.prompts import Prompt

MANIFEST = "manifest.jsonl"


Prompts = Annotated[list[str] | None, typer.Argument(help="What the videos show.")]
PromptsFile = Annotated[
    Path | None,
    typer.Option(help='JSONL file of {"prompt", "seed", "id"}; the last two may be left out.'),
]
Seed = Annotated[int, typer.Option(min=0, help="The i-th prompt uses this seed + i.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Denoising steps; default the checkpoint's.")
]
Guidance = Annotated[
    float | None, typer.Option(min=0, help="Pull of the prompt; default the checkpoint's.")
]
ModeOption = Annotated[Mode, typer.Option(help="joint makes the caption too.")]
Out = Annotated[Path, typer.Option(help="Folder of the results.")]


def generate(  # noqa: PLR0913 - one parameter per option
    prompt: Prompts = None,
    prompts: PromptsFile = None,
    seed: Seed = 0,
    num_inference_steps: Steps = None,
    guidance_scale: Guidance = None,
    mode: ModeOption = "joint",
    out: Out = Path("out"),
    as_json: AsJson = False,
    url: Url = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Make a video and its caption from each prompt.

    Without a server the model runs in this process. With --prompts a manifest that `univigu train`
    takes is written beside the videos.
    """
    from cli.backend import VideoWish, open_backend

    rows = Rows(as_json)
    try:
        pairs = [
            (
                VideoWish(one.text, mode, one.seed, num_inference_steps, guidance_scale),
                out.absolute() / f"{one.name}.mp4",
            )
            for one in _wanted(prompt or [], prompts, seed)
        ]
        _make_folder(out)
        with interruptible(), open_backend(url, checkpoint) as backend:
            _make_all(backend, pairs, rows, out / MANIFEST if prompts else None)
    except BadOption as error:
        refuse(str(error))
    rows.finish()


def _wanted(texts: Sequence[str], file: Path | None, seed: int) -> list[Prompt]:
    from cli.prompts import PromptLine, number_prompts, read_prompts

    if bool(texts) == (file is not None):
        raise BadOption("give either prompts or --prompts FILE")
    lines = read_prompts(file) if file else [PromptLine(prompt=text) for text in texts]
    return number_prompts(lines, seed)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOption(f"--out {out}: {error.strerror}") from error


def _make_all(
    backend: Backend, pairs: Sequence[tuple[VideoWish, Path]], rows: Rows, manifest: Path | None
) -> None:
    made: list[dict[str, str | None]] = []
    try:
        with progress_bar() as bar:
            bars = ItemBars(bar, len(pairs))
            for wish, video in pairs:
                row = _make(backend, wish, video, bars.step)
                rows.add(row)
                if row.status == "completed":
                    # in text_to_video the prompt is the caption; video_only has none
                    caption = wish.prompt if wish.mode == "text_to_video" else row.caption
                    made.append(_manifest_line(row, caption))
                bars.next_item()
    finally:
        if manifest is not None:
            write_lines(manifest, made)


def _make(backend: Backend, wish: VideoWish, video: Path, on_step: OnStep) -> VideoRow:
    try:
        caption = backend.make_video(wish, video, on_step)
    except ItemFailed as error:
        return VideoRow("failed", None, None, wish.seed, wish.prompt, str(error))
    return VideoRow("completed", str(video), caption, wish.seed, wish.prompt, None)


def _manifest_line(row: VideoRow, caption: str | None) -> dict[str, str | None]:
    return {"video": row.video, "prompt": row.prompt, "caption": caption, "split": "train"}
