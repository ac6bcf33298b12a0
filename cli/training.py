"""`univigu train` and `univigu eval`: the model's own loops, with a bar and the time left."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import interruptible, progress_bar, refuse


def train(
    stage: Annotated[str, typer.Argument(help="Name of the training stage.")],
    config: Annotated[Path, typer.Option(help="File of the run: paths and sizes.")],
) -> None:
    """Run a training stage."""
    run_stage = import_module("model.training.run").run_stage
    try:
        with interruptible(), progress_bar() as bar:
            task = bar.add_task(stage, total=None)

            def show(step: int, of: int, metrics: dict[str, Any]) -> None:
                facts = " ".join(f"{name} {value:.4g}" for name, value in metrics.items())
                bar.update(task, completed=step, total=of, description=f"{stage} {facts}")

            run_stage(stage, config, show)
    except (ValueError, OSError) as error:
        refuse(str(error))


def evaluate(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder.")],
    clips: Annotated[int, typer.Option(min=1, help="Clips per measure.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Decides the clips.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Score a checkpoint on its held-out set."""
    evaluate_checkpoint = import_module("model.evaluation").evaluate
    try:
        with interruptible(), progress_bar() as bar:
            task = bar.add_task("clips", total=None)
            scores: dict[str, Any] = evaluate_checkpoint(
                checkpoint,
                clips=clips,
                seed=seed,
                on_progress=lambda at, of: bar.update(task, completed=at, total=of),
            )
    except (ValueError, OSError) as error:
        refuse(str(error))
    if as_json:
        typer.echo(json.dumps(scores))
        return
    for name, value in scores.items():
        typer.echo(f"{name:32} {value:.4f}" if isinstance(value, float) else f"{name:32} {value}")
