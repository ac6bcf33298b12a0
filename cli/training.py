"""`univigu train`: the training loop, with a bar and the time left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    if result is not None:
        typer.echo(result.absolute())
