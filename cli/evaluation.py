"""`univigu eval`: how good a checkpoint is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.checkpoint import require_checkpoint, silence_loading
from cli.terminal import interruptible, progress_bar, refuse

Checkpoint = Annotated[Path, typer.Option(help="Checkpoint folder.")]
Clips = Annotated[int, typer.Option(min=1, help="Clips per score and side.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides the clips.")]
Scores = Annotated[str | None, typer.Option(help="Which scores, separated by commas; default all.")]
Base = Annotated[
    Path | None, typer.Option(help="Checkpoint that this one was trained from: score its drift.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps of a generation.")]
UnderstandSteps = Annotated[int | None, typer.Option(min=1, help="Denoising steps of a caption.")]
Guidance = Annotated[float | None, typer.Option(min=0, help="Pull of the prompt.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips per forward pass.")]
Device = Annotated[str | None, typer.Option(help="Torch device; default CUDA if there is one.")]
Sheet = Annotated[
    Path | None, typer.Option(help="PNG to write: frames of clips with their captions.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def evaluate(  # noqa: PLR0913 - one parameter per option
    checkpoint: Checkpoint,
    clips: Clips = 64,
    seed: Seed = 0,
    scores: Scores = None,
    base: Base = None,
    num_inference_steps: Steps = None,
    understand_steps: UnderstandSteps = None,
    guidance_scale: Guidance = None,
    batch_size: BatchSize = 16,
    device: Device = None,
    contact_sheet: Sheet = None,
    as_json: AsJson = False,
) -> None:
    """Score a checkpoint of the moving-shapes world, on seen and held-out combinations."""
    try:
        for folder in (checkpoint, base):
            if folder is not None:
                require_checkpoint(folder)
        from model.evaluation import Knobs, Wanted, save_contact_sheet
        from model.evaluation import evaluate as evaluate_checkpoint

        silence_loading()
        wanted = Wanted(
            scores=None if scores is None else [name.strip() for name in scores.split(",")],
            clips=clips,
            seed=seed,
            base=base,
            knobs=Knobs(num_inference_steps, understand_steps, guidance_scale, batch_size),
            device=device,
        )
        with interruptible(), progress_bar() as bar:
            task = bar.add_task("loading", total=None)
            found = evaluate_checkpoint(
                checkpoint,
                wanted,
                lambda name, at, of: bar.update(task, description=name, completed=at, total=of),
            )
        _print(found.figures, as_json)
        if contact_sheet is not None:
            save_contact_sheet(found.shots, contact_sheet)
    except (ValueError, OSError) as error:
        refuse(str(error))


def _print(figures: dict[str, Any], as_json: bool) -> None:
    from cli.evaluation_tables import print_figures

    if as_json:
        typer.echo(json.dumps(figures))
    else:
        print_figures(figures)
