"""`univigu search`: finds videos by the words of their captions."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from cli.items import BadOption
from cli.options import AsJson, Index
from cli.terminal import refuse

Words = Annotated[list[str], typer.Argument(help="Words, all of which the text has.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many videos.")]


def search(words: Words, limit: Limit = 20, index: Index = None, as_json: AsJson = False) -> None:
    """Find videos that `univigu caption` has captioned, the best match first.

    A word matches in all its forms: "moving" finds "moves".
    """
    from cli.index import open_index

    try:
        with open_index(index) as known:
            found = known.search(" ".join(words), limit)
    except BadOption as error:
        refuse(str(error))
    for match in found:
        if as_json:
            typer.echo(json.dumps(asdict(match)))
        else:
            asked = f" ({match.instruction})" if match.instruction else ""
            typer.echo(f"{match.file}{asked}\n  {match.text}")
    if not found:
        typer.echo("no video has all of these words", err=True)
