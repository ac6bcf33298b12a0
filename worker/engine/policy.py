"""Which of the jobs in flight takes the next step."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from contract.queues import Kind
from worker.engine.running import RunningJob

#: of the engine's time, what videos get beside captions that never end
VIDEO_SHARE = 0.25
#: accounts whose last turn is remembered
_MAX_ACCOUNTS = 1000


class FairTurns:
    """Captions before videos, the accounts of a kind in turn, and their jobs in turn.

    A caption takes few short steps, so that it goes before every video. That videos get on beside
    captions that never end, they are owed a share of the time that captions take while one waits;
    it is paid as soon as it makes up a step.
    """

    def __init__(self) -> None:
        self._turn = 0
        self._served: dict[tuple[Kind, str], int] = {}
        self._owed_seconds = 0.0

    def pick(self, jobs: Collection[RunningJob]) -> RunningJob:
        """Return the job to advance, of at least one."""
        by_kind = {kind: self._next(kind, jobs) for kind in ("generate", "understand")}
        video, caption = by_kind["generate"], by_kind["understand"]
        if video is None or caption is None:
            job = video or caption
            assert job is not None
            return job
        return video if self._owed_seconds > video.step_seconds else caption

    def charge(self, picked: Sequence[RunningJob], seconds: float, is_video_waiting: bool) -> None:
        """Note a step, the jobs of one kind that took it, and whether it kept a video waiting."""
        self._turn += 1
        for job in picked:
            job.last_turn, job.step_seconds = self._turn, seconds
            account = job.kind, job.start.account
            self._served.pop(account, None)
            self._served[account] = self._turn  # the one served last stands last
        if len(self._served) > _MAX_ACCOUNTS:
            del self._served[next(iter(self._served))]
        if picked[0].kind == "generate":
            self._owed_seconds = max(0.0, self._owed_seconds - seconds)
        elif is_video_waiting:
            self._owed_seconds += seconds * VIDEO_SHARE / (1 - VIDEO_SHARE)
        else:
            self._owed_seconds = 0.0

    def _next(self, kind: Kind, jobs: Collection[RunningJob]) -> RunningJob | None:
        return min(
            (job for job in jobs if job.kind == kind),
            key=lambda job: (self._served.get((kind, job.start.account), 0), job.last_turn),
            default=None,
        )
