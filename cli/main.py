"""The `univigu` command line. It lists the commands; each loads what it needs when it is called."""

from __future__ import annotations

import typer

from cli import evaluation, keys, serving, training
from cli.caption import caption
from cli.convert import convert
from cli.doctor import doctor
from cli.enrich import enrich
from cli.generate import generate
from cli.search import search

app = typer.Typer(
    help="Uni-ViGU: a prompt becomes a video with its caption, a video becomes a caption.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serving.serve)
app.command()(serving.api)
app.command()(serving.worker)
app.command()(serving.janitor)
app.command()(doctor)
app.add_typer(keys.app, name="keys")
app.command()(generate)
app.command()(caption)
app.command()(search)
app.command()(convert)
app.command()(training.train)
app.command()(enrich)
app.command("eval")(evaluation.evaluate)

if __name__ == "__main__":
    app()
