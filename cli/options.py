"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

#: how video and caption come about
Mode = Literal["joint", "text_to_video", "video_only"]

Checkpoint = Annotated[
    Path | None, typer.Option(help="Checkpoint folder; default the shipped demo checkpoint.")
]
Url = Annotated[
    str | None, typer.Option(help="Server to use instead of this process; default UNIVIGU_URL.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per result on stdout.")]
Index = Annotated[
    Path | None, typer.Option(help="File that keeps what was told; default UNIVIGU_INDEX.")
]
