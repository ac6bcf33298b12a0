"""The commands that stay up: everything at once, or one process of it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Checkpoint
from cli.terminal import refuse

Host = Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(help="Port, 0 for a free one; default 8000.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of queue and results; default data.")]


def serve(
    host: Host = None, port: Port = None, data_dir: DataDir = None, checkpoint: Checkpoint = None
) -> None:
    """Run the whole service on this machine until Ctrl-C.

    Brings its own Redis unless UNIVIGU_REDIS_URL is set. Options go before UNIVIGU_* variables.
    """
    from rich.console import Console

    from cli.all_in_one import AllInOne, ServeSettings
    from cli.settings import read_settings

    settings = read_settings(
        ServeSettings, host=host, port=port, data_dir=data_dir, checkpoint=checkpoint
    )
    try:
        service = AllInOne(settings, Console(highlight=False, soft_wrap=True))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        service.run()
    except (ValueError, RuntimeError, OSError) as error:
        refuse(str(error))


def api() -> None:
    """Run the HTTP process alone, set up by UNIVIGU_* variables."""
    from cli.settings import read_settings
    from server.run import run
    from server.settings import ServerSettings

    settings = read_settings(ServerSettings)
    try:
        run(settings)
    except ValueError as error:
        refuse(str(error))


def worker() -> None:
    """Run one worker (engine, slots and janitor), set up by UNIVIGU_* variables."""
    from cli.settings import read_settings
    from worker.settings import WorkerSettings
    from worker.supervisor import main

    settings = read_settings(WorkerSettings)
    try:
        main(settings)
    except ValueError as error:
        refuse(str(error))


def janitor() -> None:
    """Run a janitor alone: it looks after jobs that nobody holds and deletes old ones."""
    import threading

    from cli.settings import read_settings
    from worker.janitor import run
    from worker.process import start_logging
    from worker.settings import WorkerSettings

    settings = read_settings(WorkerSettings)
    start_logging(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(settings, stop)
    except ValueError as error:
        refuse(str(error))
