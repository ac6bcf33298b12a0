"""How commands speak: results on stdout, everything else on stderr, bars only on a terminal."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

FAILED = 1
BAD_OPTION = 2
INTERRUPTED = 130


def refuse(message: str) -> NoReturn:
    """End the command over something that the user can fix.

    Raises:
        typer.Exit: with code 2.
    """
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(BAD_OPTION)


def progress_bar() -> Progress:
    """Return a bar with the time left on stderr, which shows nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        # results pass above the bar on one terminal, but must not follow it out of a pipe
        redirect_stdout=sys.stdout.isatty(),
        transient=True,
    )


class ItemBars:
    """Two bars: items done, and steps of the current one.

    Args:
        bar: where they are shown.
        total: how many items there are.
    """

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._items = bar.add_task("videos", total=total)
        self._steps = bar.add_task("steps", total=None)

    def step(self, at: int, of: int) -> None:
        """Show how far the current item is."""
        self._bar.update(self._steps, completed=at, total=of)

    def next_item(self) -> None:
        """Show one more item as done."""
        self._bar.advance(self._items)
        self._bar.reset(self._steps, total=None)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, and end the command with code 130 on either.

    Raises:
        typer.Exit: with code 130 when interrupted.
    """

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def start_logging(level: str) -> None:
    """Log warnings and worse of this process to stderr, or more where `level` says so."""
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")
