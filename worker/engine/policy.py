"""Which of the jobs in flight takes the next step: captions first, then in turn."""

from __future__ import annotations

from collections.abc import Sequence

from worker.engine.running import RunningJob


class CaptionsFirst:
    """A caption takes few short steps, so it goes before every video; equals take turns."""

    def pick(self, jobs: Sequence[RunningJob]) -> RunningJob:
        """Return the job to advance, of at least one."""
        return min(jobs, key=lambda job: (job.kind != "understand", job.last_turn))
