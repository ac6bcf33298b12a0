"""How busy the queues are, and when a job can be expected to end.

An estimate supposes that jobs go on taking as long as they did so far, side by side as now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contract.figures import parse_figures
from contract.jobs import FIGURES_KEY
from contract.queues import QUEUES
from contract.records import JobRecord, Status
from server.metrics import Load
from server.queue import Depth
from server.services import Services


@dataclass(frozen=True)
class Outlook:
    """What is to be expected of one job; nothing once it has ended."""

    #: 1 is the next to start; None if it is not waiting
    position: int | None = None
    #: until the end; None where no job of this kind has completed yet
    eta_seconds: int | None = None


#: of a job that has ended
ENDED = Outlook()


def read_load(services: Services) -> Load:
    """Look at the queues and the figures, in one round trip."""
    load, _ = _look(services, [])
    return load


def outlooks(services: Services, records: Sequence[JobRecord]) -> list[Outlook]:
    """Return what is to be expected of each job, in one round trip for all."""
    if all(record.status.is_terminal for record in records):
        return [ENDED] * len(records)
    load, positions = _look(services, records)
    return [
        _outlook(record, position, load)
        for record, position in zip(records, positions, strict=True)
    ]


def _look(services: Services, records: Sequence[JobRecord]) -> tuple[Load, list[int | None]]:
    keys = services.queue.keys()
    with services.redis.pipeline(transaction=False) as pipeline:
        for kind in QUEUES:
            pipeline.llen(keys[kind].waiting)
            pipeline.zcard(keys[kind].running)
        pipeline.hgetall(FIGURES_KEY)
        for record in records:
            pipeline.lpos(keys[record.kind].waiting, record.id)
        answers: list[Any] = pipeline.execute()
    counts, rest = answers[: 2 * len(QUEUES)], answers[2 * len(QUEUES) :]
    depths = {
        kind: Depth(*pair)
        for kind, pair in zip(QUEUES, zip(counts[::2], counts[1::2], strict=True), strict=True)
    }
    return Load(depths, parse_figures(rest[0])), rest[1:]


def _outlook(record: JobRecord, index: int | None, load: Load) -> Outlook:
    if record.status.is_terminal:
        return ENDED
    mean = load.figures.run[record.kind].mean
    if record.status is Status.IN_PROGRESS:
        spent = time.time() - (record.started_at or 0)
        return Outlook(eta_seconds=None if mean is None else max(0, round(mean - spent)))
    if index is None or mean is None:
        return Outlook(position=None if index is None else index + 1)
    rounds = index // max(1, load.depths[record.kind].running) + 1
    # one more round for the job itself
    return Outlook(index + 1, round((rounds + 1) * mean))
