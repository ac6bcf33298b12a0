"""`univigu doctor`: looks at everything that the service needs, and says what to do."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from cli.options import AsJson, Checkpoint
from cli.terminal import FAILED

_SIGNS = {"ok": "ok", "warning": "warning", "failed": "FAILED"}


def doctor(as_json: AsJson = False, checkpoint: Checkpoint = None) -> None:
    """Check Python, packages, device, Redis, storage, ffmpeg, checkpoint, signing and port.

    Takes the same settings as `univigu serve`. Exit code 1 if a check failed.
    """
    from cli.all_in_one import ServeSettings
    from cli.checkups import CHECKS
    from cli.settings import read_settings

    settings = read_settings(ServeSettings, checkpoint=checkpoint)
    has_failed = False
    for check in CHECKS:
        finding = check(settings)
        has_failed |= finding.status == "failed"
        if as_json:
            typer.echo(json.dumps(asdict(finding)))
            continue
        typer.echo(f"{_SIGNS[finding.status]:<8} {finding.check:<11} {finding.found}")
        if finding.advice:
            typer.echo(f"{'':<20} {finding.advice}")
    if has_failed:
        raise typer.Exit(FAILED)
