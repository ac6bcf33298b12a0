"""`univigu train` and `univigu eval`: the model's own loops, with a bar and the time left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.checkpoint import require_checkpoint, silence_loading
from cli.terminal import interruptible, progress_bar, refuse


def train(
    stage: Annotated[str, typer.Argument(help="Name of the training stage.")],
    config: Annotated[Path, typer.Option(help="TOML file of the run.")],
) -> None:
    """Run a training stage; one that was interrupted goes on."""
    from model.training.run import run_stage

    try:
        with interruptible(), progress_bar() as bar:
            task = bar.add_task(stage, total=None)

            def show(step: int, of: int, row: dict[str, float]) -> None:
                facts = [f"{name} {value:.4g}" for name, value in row.items() if name != "step"]
                bar.update(
                    task, completed=step, total=of, description=" ".join([stage, *facts[:3]])
                )

            result = run_stage(stage, config, show)
    except (ValueError, OSError) as error:
        refuse(str(error))
    typer.echo(result.absolute())


def evaluate(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder.")],
    clips: Annotated[int, typer.Option(min=1, help="Clips per score and side.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Decides the clips.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Score a checkpoint of the moving-shapes world, on seen and held-out combinations."""
    try:
        require_checkpoint(checkpoint)
        from model.evaluation import evaluate as evaluate_checkpoint

        silence_loading()
        with interruptible(), progress_bar() as bar:
            task = bar.add_task("answers", total=None)
            found = evaluate_checkpoint(
                checkpoint,
                clips=clips,
                seed=seed,
                on_progress=lambda at, of: bar.update(task, completed=at, total=of),
            )
    except (ValueError, OSError) as error:
        refuse(str(error))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _print_table(found["scores"])


def _print_table(scores: dict[str, dict[str, dict[str, Any]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = [
        (name, side, shares) for name, sides in scores.items() for side, shares in sides.items()
    ]
    attributes = list(dict.fromkeys(name for _, _, shares in rows for name in shares))
    table = Table("score", "side", *attributes)
    for score, side, shares in rows:
        cells = [f"{shares[name]:.1%}" if name in shares else "" for name in attributes]
        table.add_row(score, side, *cells)
    Console().print(table)
