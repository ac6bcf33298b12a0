"""`univigu convert`: a stock Wan2.1 folder, and the released weights, become a checkpoint."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import refuse


class DtypeName(StrEnum):
    """Precision of the written weights."""

    BF16 = "bf16"
    FP16 = "fp16"
    FP32 = "fp32"


def convert(
    wan: Annotated[Path, typer.Option(help="Wan2.1 folder in diffusers layout.")],
    out: Annotated[Path, typer.Option(help="Folder of the new checkpoint.")],
    released: Annotated[
        Path | None, typer.Option(help="Released .pth; without it the checkpoint is untrained.")
    ] = None,
    dtype: Annotated[DtypeName | None, typer.Option(help="Default: the source's own.")] = None,
    caption_length: Annotated[int, typer.Option(min=1, help="Tokens of a caption.")] = 256,
) -> None:
    """Turn a Wan2.1 folder into a Uni-ViGU checkpoint."""
    from model.convert import convert as convert_checkpoint

    try:
        report = convert_checkpoint(
            wan, out, released=released, dtype=dtype, caption_length=caption_length
        )
    except (ValueError, OSError) as error:
        refuse(str(error))
    typer.echo(f"{out.absolute()}")
    for name in report.written:
        typer.echo(f"  written   {name}")
    for name in report.left_out:
        typer.echo(f"  left out  {name}")
