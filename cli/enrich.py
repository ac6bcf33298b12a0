"""`univigu enrich`: a language model writes the detailed captions that `train refine` needs."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.items import BadOption, ItemFailed, ItemStatus, Rows
from cli.options import AsJson
from cli.terminal import interruptible, progress_bar, refuse

if TYPE_CHECKING:
    from cli.appended import AppendedLines
    from cli.caption_writer import CaptionWriter
    from cli.chat_endpoint import ChatEndpoint
    from cli.manifest_lines import ManifestLine, Numbered

    #: requests under way, with the lines that they are for
    Running = dict[asyncio.Task[str], tuple[int, ManifestLine]]

Manifest = Annotated[Path, typer.Argument(help='JSONL file of {"video", "prompt", "split"}.')]
Url = Annotated[
    str, typer.Option(help="OpenAI-compatible endpoint, e.g. http://127.0.0.1:8000/v1.")
]
Model = Annotated[str, typer.Option(help="What the endpoint calls its model.")]
Out = Annotated[Path, typer.Option(help="Manifest to write; what is in it is not asked again.")]
ApiKey = Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Key of the endpoint.")]
Instruction = Annotated[str | None, typer.Option(help="What the model is told to write.")]
Rate = Annotated[float | None, typer.Option(min=0.1, help="Most requests in a minute.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests at the same time.")]
MinWords = Annotated[int, typer.Option(min=1, help="Fewest words of a caption.")]
MaxWords = Annotated[int, typer.Option(min=1, help="Most words of a caption.")]
Checkpoint = Annotated[
    Path | None, typer.Option(help="Checkpoint whose captions these are to fit.")
]


@dataclass(frozen=True)
class PromptRow:
    """What became of a line of the manifest."""

    status: ItemStatus
    line: int
    caption: str | None
    error: str | None

    def lines(self) -> list[str]:
        """Return what people read: failures, since the captions are in the file."""
        return [] if self.error is None else [f"failed: line {self.line}: {self.error}"]


def enrich(  # noqa: PLR0913 - one parameter per option
    manifest: Manifest,
    url: Url,
    model: Model,
    out: Out,
    api_key: ApiKey = None,
    instruction: Instruction = None,
    requests_per_minute: Rate = None,
    concurrency: Concurrency = 1,
    min_words: MinWords = 20,
    max_words: MaxWords = 150,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
) -> None:
    """Write detailed captions from the prompts of a manifest, into a new one.

    May be stopped and started again at any moment. A line that fails is left out, and tried again
    by the next call.
    """
    from cli.appended import AppendedLines
    from cli.caption_writer import CaptionWriter, Lengths
    from cli.chat_endpoint import ChatEndpoint
    from cli.manifest_lines import read_manifest

    rows = Rows(as_json)
    try:
        if out.resolve() == manifest.resolve():
            raise BadOption(f"--out {out}: is the manifest itself")
        found = read_manifest(manifest)
        lengths = Lengths(min_words, max_words, checkpoint)
        endpoint = ChatEndpoint(url, model, api_key, requests_per_minute)
        writer = CaptionWriter(endpoint, lengths, instruction)
        with interruptible(), AppendedLines(out) as written:
            job = _Enrichment(writer, written, manifest, out, rows)
            asyncio.run(job.run(endpoint, found, concurrency))
        typer.echo(f"{job.written} written, {job.skipped} there before", err=True)
    except BadOption as error:
        refuse(str(error))
    rows.finish()


class _Enrichment:
    def __init__(
        self, writer: CaptionWriter, written: AppendedLines, manifest: Path, out: Path, rows: Rows
    ) -> None:
        self._write, self._file, self._rows = writer.write, written, rows
        self._moved = _move_between(manifest.parent, out.parent)
        self.written = self.skipped = 0

    async def run(self, endpoint: ChatEndpoint, found: list[Numbered], concurrency: int) -> None:
        running: Running = {}
        async with endpoint:
            try:
                await self._write_all(running, found, concurrency)
            finally:  # what ends the command is said once, not by each request under way
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    async def _write_all(self, running: Running, found: list[Numbered], concurrency: int) -> None:
        with progress_bar() as bar:
            shown = bar.add_task("captions", total=len(found))
            for at, line in self._todo(found):
                running[asyncio.create_task(self._write(line.prompt))] = at, line
                if len(running) == concurrency:
                    await self._settle(running)
                bar.update(shown, completed=at - len(running))
            while running:
                await self._settle(running)

    def _todo(self, found: list[Numbered]) -> Iterator[tuple[int, ManifestLine]]:
        """Yield the lines to ask about; report those that are bad, or were done before."""
        before = Counter((line.get("video"), line.get("prompt")) for line in self._file.before)
        for at, line in found:
            if isinstance(line, str):
                self._rows.add(PromptRow("failed", at, None, line))
                continue
            key = (self._moved(line.video), line.prompt)
            if before[key]:
                before[key] -= 1
                self.skipped += 1
                self._rows.add(PromptRow("skipped", at, None, None))
                continue
            yield at, line

    async def _settle(self, running: Running) -> None:
        """Wait for one caption or more, and write them down."""
        ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        # all are looked at before one is raised, or the others would complain of it
        for task, error in [(task, task.exception()) for task in ended]:
            at, line = running.pop(task)
            if isinstance(error, ItemFailed):
                self._rows.add(PromptRow("failed", at, None, str(error)))
                continue
            caption = task.result()
            fields = line.model_dump() | {"video": self._moved(line.video), "caption": caption}
            self._file.add(fields)
            self.written += 1
            self._rows.add(PromptRow("completed", at, caption, None))


def _move_between(old: Path, new: Path) -> Callable[[str], str]:
    """Return how a video's path beside one manifest is called beside another."""

    def move(video: str) -> str:
        if "://" in video or Path(video).is_absolute():
            return video
        return os.path.relpath(old.resolve() / video, new.resolve())

    return move
