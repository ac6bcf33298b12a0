"""`univigu eval`: how good a checkpoint is, in its demo world or on clips of your own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.checkpoint import require_checkpoint, silence_loading
from cli.items import BadOption, Rows
from cli.terminal import FAILED, interruptible, progress_bar, refuse

if TYPE_CHECKING:
    from model.evaluation import Evaluation, Knobs, ManifestClips, Wanted

#: clips on a contact sheet
_SHEET_CLIPS = 32

Checkpoint = Annotated[Path, typer.Option(help="Checkpoint folder.")]
Clips = Annotated[int, typer.Option(min=1, help="Clips per score and side.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides clips and samples.")]
Scores = Annotated[str | None, typer.Option(help="Which scores, separated by commas; default all.")]
Base = Annotated[
    Path | None, typer.Option(help="Checkpoint that this one was trained from: score its drift.")
]
Manifest = Annotated[
    list[str] | None,
    typer.Option(help="Caption the clips of a manifest or shard instead. Repeatable."),
]
Split = Annotated[
    Literal["train", "val", "test"] | None, typer.Option(help="Of these clips; default all.")
]
JudgeUrl = Annotated[
    str | None, typer.Option(help="OpenAI-compatible endpoint that judges their captions.")
]
JudgeModel = Annotated[str, typer.Option(help="What that endpoint calls its model.")]
JudgeKey = Annotated[
    str | None, typer.Option(envvar="OPENAI_API_KEY", help="Key of that endpoint.")
]
Prompts = Annotated[
    Path | None, typer.Option(help="Make the videos of a prompt list for VBench instead.")
]
Out = Annotated[Path, typer.Option(help="Folder of those videos.")]
Samples = Annotated[int, typer.Option(min=1, help="Videos per prompt.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps of a generation.")]
UnderstandSteps = Annotated[int | None, typer.Option(min=1, help="Denoising steps of a caption.")]
Guidance = Annotated[float | None, typer.Option(min=0, help="Pull of the prompt.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips per forward pass.")]
Device = Annotated[str | None, typer.Option(help="Torch device; default CUDA if there is one.")]
Sheet = Annotated[
    Path | None, typer.Option(help="PNG to write: frames of clips with their captions.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout and nothing else.")]


def evaluate(  # noqa: PLR0913 - one parameter per option
    checkpoint: Checkpoint,
    clips: Clips = 64,
    seed: Seed = 0,
    scores: Scores = None,
    base: Base = None,
    manifest: Manifest = None,
    split: Split = None,
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = "default",
    judge_key: JudgeKey = None,
    prompts: Prompts = None,
    out: Out = Path("out"),
    samples: Samples = 5,
    num_inference_steps: Steps = None,
    understand_steps: UnderstandSteps = None,
    guidance_scale: Guidance = None,
    batch_size: BatchSize = 16,
    device: Device = None,
    contact_sheet: Sheet = None,
    as_json: AsJson = False,
) -> None:
    """Score a checkpoint of the moving-shapes world, on seen and held-out combinations.

    With --manifest, caption clips of your own and compare with their captions; with --prompts, make
    the videos that VBench scores.
    """
    try:
        if manifest and prompts:
            raise BadOption("--manifest does not go with --prompts")
        if judge_url and not manifest:
            raise BadOption("--judge-url goes with --manifest: it judges captions of those clips")
        for folder in (checkpoint, base):
            if folder is not None:
                require_checkpoint(folder)
        with interruptible():
            if prompts is not None:
                numbers = (samples, seed, num_inference_steps, guidance_scale)
                _make_benchmark(checkpoint, prompts, out, numbers, as_json)
                return
            from model.evaluation import Knobs, ManifestClips, Wanted

            silence_loading()
            knobs = Knobs(num_inference_steps, understand_steps, guidance_scale, batch_size)
            if manifest:
                asked = ManifestClips(manifest, split, seed, None if judge_url else _SHEET_CLIPS)
                found = _caption(checkpoint, asked, knobs, device)
            else:
                names = None if scores is None else [name.strip() for name in scores.split(",")]
                found = _score(checkpoint, Wanted(names, clips, seed, base, knobs, device))
            if judge_url:
                asyncio.run(_judge(found, judge_url, judge_model, judge_key))
        _show(found, contact_sheet, as_json)
    except (ValueError, OSError) as error:
        refuse(str(error))
    if found.figures.get("skipped") or found.figures.get("unjudged"):
        raise typer.Exit(FAILED)


def _score(checkpoint: Path, wanted: Wanted) -> Evaluation:
    from model.evaluation import evaluate as evaluate_checkpoint

    with progress_bar() as bar:
        task = bar.add_task("loading", total=None)
        return evaluate_checkpoint(
            checkpoint,
            wanted,
            lambda name, at, of: bar.update(task, description=name, completed=at, total=of),
        )


def _caption(
    checkpoint: Path, clips: ManifestClips, knobs: Knobs, device: str | None
) -> Evaluation:
    from model.evaluation import evaluate_manifests

    with progress_bar() as bar:
        task = bar.add_task("clips", total=None)
        return evaluate_manifests(
            checkpoint, clips, knobs, device, lambda done: bar.update(task, completed=done)
        )


async def _judge(found: Evaluation, url: str, model: str, key: str | None) -> None:
    from cli.chat_endpoint import ChatEndpoint
    from cli.judge import judge_captions

    async with ChatEndpoint(url, model, key) as endpoint:
        await judge_captions(found, endpoint)


def _make_benchmark(
    checkpoint: Path,
    prompts: Path,
    out: Path,
    numbers: tuple[int, int, int | None, float | None],
    as_json: bool,
) -> None:
    from cli.backend import open_backend
    from cli.benchmark_videos import Sampling, make_benchmark, read_prompt_list

    rows, texts = Rows(as_json), read_prompt_list(prompts)
    with open_backend(None, checkpoint) as backend:
        make_benchmark(backend, texts, out, Sampling(*numbers), rows)
    rows.finish()


def _show(found: Evaluation, sheet: Path | None, as_json: bool) -> None:
    from cli.evaluation_tables import print_figures

    if as_json:
        typer.echo(json.dumps(found.figures))
    else:
        print_figures(found.figures)
    if sheet is not None:
        from model.evaluation import save_contact_sheet

        save_contact_sheet(found.shots, sheet, _SHEET_CLIPS)
