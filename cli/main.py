"""The `univigu` command line. It lists the commands; each loads what it needs when it is called."""

from __future__ import annotations

import typer

from cli import serving

app = typer.Typer(
    help="Uni-ViGU: a prompt becomes a video with its caption, a video becomes a caption.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    serving.serve,
    serving.api,
    serving.worker,
    serving.janitor,
):
    app.command()(command)

if __name__ == "__main__":
    app()
