"""`univigu train`: the training loop, with a bar and the time left, or what it would take."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal import interruptible, progress_bar, refuse

if TYPE_CHECKING:
    from model.training.plan import Memory


#: what is planned where no config is named
PAPER = Path(__file__).parents[1] / "configs" / "paper.toml"


def train(
    stage: Annotated[str, typer.Argument(help="Name of the training stage.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file of the run; with --plan, the paper's if unset.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what the stage takes: memory, FLOPs, hours.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help="With --plan: a network by name, such as wan2.1-1.3b.")
    ] = None,
    world_size: Annotated[int, typer.Option(min=1, help="With --plan: number of GPUs.")] = 1,
    peak_tflops: Annotated[
        float, typer.Option(min=1, help="With --plan: dense bf16 peak of one GPU.")
    ] = 989.0,
    mfu: Annotated[
        float, typer.Option(min=0.01, max=1, help="With --plan: share of the peak that is reached.")
    ] = 0.4,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: one JSON object.")] = False,
) -> None:
    """Run a training stage; one that was interrupted goes on."""
    if plan:
        show_plan(stage, config or PAPER, preset, (world_size, peak_tflops, mfu), as_json)
        return
    if preset is not None:
        refuse("--preset goes with --plan; a run trains the checkpoint that its config names")
    if config is None:
        refuse("--config FILE is missing")
    from model.training.run import run_stage

    try:
        with interruptible(), progress_bar() as bar:
            task = bar.add_task(stage, total=None)

            def show(step: int, of: int, row: dict[str, float]) -> None:
                facts = [f"{name} {value:.4g}" for name, value in row.items() if name != "step"]
                bar.update(
                    task, completed=step, total=of, description=" ".join([stage, *facts[:3]])
                )

            def show_line(count: int, place: str) -> None:
                bar.update(task, completed=count, description=f"coding {place}")

            result = run_stage(stage, config, show, show_line)
    except (ValueError, OSError) as error:
        refuse(str(error))
    if result is not None:
        typer.echo(result.absolute())


def show_plan(
    stage: str,
    config: Path,
    preset: str | None,
    hardware: tuple[int, float, float],
    as_json: bool,
) -> None:
    """Print what a stage takes on some number of GPUs, their peak and the share of it reached."""
    from model.training.config import read_stage
    from model.training.plan import Hardware, plan_stage

    if stage == "vae":
        refuse("stage 'vae': has no plan; it takes minutes on a CPU")
    try:
        found = plan_stage(read_stage(stage, config), preset, Hardware(*hardware))
    except (ValueError, OSError) as error:
        refuse(str(error))
    if as_json:
        memory = {
            kind: asdict(parts) | {"total": parts.total} for kind, parts in found.memory.items()
        }
        typer.echo(json.dumps(asdict(found) | {"memory": memory}))
        return
    gpus, peak, share = hardware
    billions = f"{found.parameters / 1e9:.2f} B parameters"
    typer.echo(f"{found.stage}: {billions}, {found.trained_parameters / 1e9:.2f} B of them trained")
    typer.echo(
        f"batch {found.batch_size}, {found.rows_per_gpu} on each of {gpus} GPUs; a row has "
        f"{found.video_tokens} video and {found.text_tokens} text tokens"
    )
    _print_memory(found.memory)
    typer.echo(
        f"{found.flops_per_step:.3g} FLOPs a step, {found.flops:.3g} in {found.num_steps} steps: "
        f"{found.hours:.1f} hours at {share:.0%} of {peak:g} TFLOP/s"
    )


def _print_memory(kinds: dict[str, Memory]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("GB per GPU", *kinds, box=SIMPLE)
    for name in [*(field.name for field in fields(next(iter(kinds.values())))), "total"]:
        table.add_row(name, *(f"{getattr(memory, name):.1f}" for memory in kinds.values()))
    Console().print(table)
