"""`univigu caption`: videos get their captions as files beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.items import BadOption, Rows, write_lines
from cli.options import AsJson, Checkpoint, Index, Url
from cli.terminal import ItemBars, interruptible, progress_bar, refuse

if TYPE_CHECKING:
    from cli.backend import Backend, OnStep
    from cli.crew import Crew
    from cli.inputs import Found
    from cli.shard import Shard
    from cli.sidecars import Sidecars, Style

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")

Paths = Annotated[
    list[str],
    typer.Argument(help="Video files, folders, globs, JSONL manifests or s3://bucket/prefix."),
]
Instruction = Annotated[
    str | None, typer.Option(help="What to tell about the videos; else they are captioned.")
]
SegmentSeconds = Annotated[
    float | None, typer.Option(help="Cut videos into such segments, with a text for each.")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the texts; else beside the videos.")]
Formats = Annotated[str, typer.Option(help="Of txt, vtt, srt, json, nfo; with commas.")]
Language = Annotated[
    str | None, typer.Option(help="Names subtitles NAME.LANGUAGE.vtt, for media players.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Pass over what an earlier call has done.")]
ShardOption = Annotated[str, typer.Option("--shard", help="Only part I of N, as I/N.")]
Watch = Annotated[
    float | None,
    typer.Option(min=0.1, help="Go on, looking for new videos every so many seconds."),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Videos at a time; else 1, with a server 4, or 64 in batches."),
]
Errors = Annotated[
    Path | None, typer.Option(help="JSONL file of all failures of this call, one per line.")
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same text.")]


def caption(  # noqa: PLR0913 - one parameter per option
    path: Paths,
    instruction: Instruction = None,
    segment_seconds: SegmentSeconds = None,
    out: Out = None,
    formats: Formats = "txt",
    language: Language = None,
    resume: Resume = False,
    shard: ShardOption = "1/1",
    watch: Watch = None,
    jobs: Jobs = None,
    errors: Errors = None,
    index: Index = None,
    as_json: AsJson = False,
    seed: Seed = 0,
    url: Url = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Caption videos, or answer an instruction about each.

    A video that cannot be captioned gets a file NAME.error.json, and --resume reports it again
    without a new try.
    """
    from cli.backend import open_backend
    from cli.captioning import Desk, Question
    from cli.crew import Crew
    from cli.index import open_index
    from cli.shard import Shard

    rows = Rows(as_json)
    try:
        style, part = _style(formats, language), Shard.parse(shard)
        question = Question(instruction, seed, segment_seconds)
        with (
            interruptible(),
            open_index(index) as known,
            open_backend(url, checkpoint) as backend,
            progress_bar() as bar,
            ExitStack() as at_end,
        ):
            at_end.callback(_report, rows, errors)
            _check_jobs(backend, jobs)
            bars = ItemBars(bar, 0)
            for mine, places in _passes(path, watch, part, out, style):
                bars.more_items(len(mine))
                with backend.for_many(len(mine), known.path) as describer:
                    crew = Crew(jobs or describer.usual_jobs)
                    on_step = _steps(crew, bars)
                    desk = Desk(describer, known, question, resume or watch is not None, on_step)
                    with closing(crew.results(mine, partial(desk.row, places))) as results:
                        for row in results:
                            rows.add(row)
                            bars.next_item()
                _report(rows, errors)
    except BadOption as error:
        refuse(str(error))
    rows.finish()


def _passes(
    arguments: list[str], watch_seconds: float | None, part: Shard, out: Path | None, style: Style
) -> Iterator[tuple[list[Found], Mapping[str, Sidecars]]]:
    """Yield the videos that are to be done now, and where the texts of all of them go."""
    from cli.inputs import find_videos
    from cli.sidecars import place_sidecars
    from cli.watching import arrivals

    def find() -> list[Found]:
        return find_videos(arguments)

    def once() -> Iterator[tuple[list[Found], list[Found]]]:
        found = find()
        yield found, found

    for every, arrived in once() if watch_seconds is None else arrivals(find, watch_seconds):
        places = place_sidecars([item for item in every if item.error is None], out, style)
        yield part.of(arrived), places


def _style(formats: str, language: str | None) -> Style:
    from cli.sidecars import FORMATS, Style

    names = list(dict.fromkeys(name.strip() for name in formats.split(",")))
    for name in names:
        if name not in FORMATS:
            raise BadOption(f"--formats {name!r}: allowed are {', '.join(FORMATS)}")
    if language is not None and not _LANGUAGE.fullmatch(language):
        raise BadOption(f"--language {language!r}: must be a language tag such as en or pt-BR")
    return Style(names, language)


def _check_jobs(backend: Backend, jobs: int | None) -> None:
    if jobs is not None and jobs > backend.max_jobs:
        raise BadOption(f"--jobs {jobs}: at most {backend.max_jobs}; a server takes more than one")


def _steps(crew: Crew, bars: ItemBars) -> OnStep:
    def on_step(at: int, of: int) -> None:
        crew.check()
        bars.step(at, of)

    return on_step


def _report(rows: Rows, errors: Path | None) -> None:
    if errors is None:
        return
    try:
        write_lines(errors, [asdict(row) for row in rows.failed])
    except OSError as error:
        raise BadOption(f"--errors {errors}: {error.strerror}") from error
