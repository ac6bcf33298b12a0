"""How busy the queues are, and when a job can be expected to end.

An estimate supposes that jobs go on taking as long as they did so far, side by side as now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contract.figures import mean_fields, parse_figures, parse_mean
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


@dataclass(frozen=True)
class _Pace:
    """How fast a queue moves."""

    running: int
    #: how long jobs ran so far; None where none has completed
    mean_seconds: float | None


def read_load(services: Services) -> Load:
    """Look at the queues and the figures, in one round trip."""
    keys = services.queue.keys()
    with services.redis.pipeline(transaction=False) as pipeline:
        for kind in QUEUES:
            pipeline.llen(keys[kind].waiting)
            pipeline.zcard(keys[kind].running)
        pipeline.hgetall(FIGURES_KEY)
        *counts, figures = pipeline.execute()
    depths = {
        kind: Depth(*pair)
        for kind, pair in zip(QUEUES, zip(counts[::2], counts[1::2], strict=True), strict=True)
    }
    return Load(depths, parse_figures(figures))


def outlooks(services: Services, records: Sequence[JobRecord]) -> list[Outlook]:
    """Return what is to be expected of each job, in one round trip for all."""
    live = [record for record in records if not record.status.is_terminal]
    if not live:
        return [ENDED] * len(records)
    kinds = sorted({record.kind for record in live})
    keys = services.queue.keys()
    with services.redis.pipeline(transaction=False) as pipeline:
        for kind in kinds:
            pipeline.zcard(keys[kind].running)
            pipeline.hmget(FIGURES_KEY, mean_fields(kind))
        for record in live:
            pipeline.lpos(keys[record.kind].waiting, record.id)
        answers: list[Any] = pipeline.execute()
    counts, indices = answers[: 2 * len(kinds)], answers[2 * len(kinds) :]
    paces = {
        kind: _Pace(running, parse_mean(values))
        for kind, running, values in zip(kinds, counts[::2], counts[1::2], strict=True)
    }
    found = {
        record.id: _outlook(record, index, paces[record.kind])
        for record, index in zip(live, indices, strict=True)
    }
    return [found.get(record.id, ENDED) for record in records]


def _outlook(record: JobRecord, index: int | None, pace: _Pace) -> Outlook:
    mean = pace.mean_seconds
    if record.status is Status.IN_PROGRESS:
        spent = time.time() - (record.started_at or 0)
        return Outlook(eta_seconds=None if mean is None else max(0, round(mean - spent)))
    if index is None or mean is None:
        return Outlook(position=None if index is None else index + 1)
    rounds = index // max(1, pace.running) + 1
    # one more round for the job itself
    return Outlook(index + 1, round((rounds + 1) * mean))
