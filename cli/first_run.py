"""The first run: `python -m cli.first_run --out out` shows both directions on a fresh machine.

It starts the service, asks it over HTTP for a video with its caption and for the caption of that
video, and stops the service.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.terminal import FAILED, interruptible, refuse
from cli.tied_process import TiedProcess
from univigu_client import ApiError, Client, Job, StillRunning

PROMPT = "a red circle moving left"
SEED = 0
#: importing torch from a cold disk takes most of it
READY_SECONDS = 600.0
JOB_SECONDS = 600.0
STOP_SECONDS = 60.0
_LOG_TAIL = 25


class FirstRunFailed(Exception):
    """A step did not work; the message says which and why."""


def first_run(out: Annotated[Path, typer.Option(help="Folder of the results.")]) -> None:
    """Start the service, make a video with caption, caption that video, stop the service."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(f"--out {out}: {error.strerror}")
    log = out / "serve.log"
    port = _free_port()
    with interruptible(), log.open("wb") as file:
        arguments = ["-m", "cli.main", "serve", "--host", "127.0.0.1", "--port", str(port)]
        data = ["--data-dir", str((out / "data").absolute())]
        service = TiedProcess("service", [*arguments, *data], {}, file)
        service.start()
        try:
            with Client(f"http://127.0.0.1:{port}") as client:
                _wait_until_ready(service, client, console)
                _both_ways(client, out, console)
        except (FirstRunFailed, ApiError, StillRunning, OSError) as error:
            _explain(error, log)
            raise typer.Exit(FAILED) from error
        finally:
            with console.status("stopping the service"):
                service.stop(STOP_SECONDS)


def _wait_until_ready(service: TiedProcess, client: Client, console: Console) -> None:
    deadline = time.monotonic() + READY_SECONDS
    started = time.monotonic()
    with console.status("starting the service and loading the model"):
        while not client.is_ready():
            if service.exit_code is not None:
                raise FirstRunFailed(f"the service ended with code {service.exit_code}")
            if time.monotonic() > deadline:
                raise FirstRunFailed(f"the service was not ready after {READY_SECONDS:g} s")
            time.sleep(0.2)
    console.print(f"service    ready at {client.url} after {time.monotonic() - started:.1f} s")


def _both_ways(client: Client, out: Path, console: Console) -> None:
    console.print(f"prompt     {PROMPT}", markup=False)
    job = _done(client, client.create_video(PROMPT, seed=SEED), "making the video", console)
    video = out / "video.mp4"
    client.download(job, video)
    console.print(f"caption    {job.text}", markup=False)
    console.print(f"video      {video.absolute()}", markup=False)
    job = _done(client, client.create_caption(video, seed=SEED), "captioning it", console)
    console.print(f"read back  {job.text}", markup=False)


def _done(client: Client, job: Job, doing: str, console: Console) -> Job:
    with console.status(doing) as status:

        def show(job: Job) -> None:
            status.update(f"{doing} {job.progress} %")

        job = client.wait(job, show, JOB_SECONDS)
    if job.status != "completed":
        raise FirstRunFailed(f"{doing} did not work: {job.error or job.status}")
    return job


def _explain(error: Exception, log: Path) -> None:
    typer.echo(f"error: {error}\nThe end of {log.absolute()}:", err=True)
    for line in log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]:
        typer.echo(f"  {line}", err=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    typer.run(first_run)
