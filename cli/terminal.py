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
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

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


class RateColumn(ProgressColumn):
    """How many a minute get done."""

    def render(self, task: Task) -> Text:
        """Return the rate of late; nothing before two are done."""
        return Text("" if task.speed is None else f"{task.speed * 60:.3g}/min")


def progress_bar() -> Progress:
    """Return a bar with rate and time left on stderr; nothing shows where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
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
        self._bar, self._total = bar, total
        self._items = bar.add_task("videos", total=total)
        self._steps = bar.add_task("steps", total=None)

    def step(self, at: int, of: int) -> None:
        """Show how far the current item is."""
        self._bar.update(self._steps, completed=at, total=of)

    def more_items(self, count: int) -> None:
        """Show that there are more items than was known."""
        self._total += count
        self._bar.update(self._items, total=self._total)

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
