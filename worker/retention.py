"""Deletes ended jobs, their inputs and their artifacts when they are old enough."""

from __future__ import annotations

import logging

from contract.artifacts import ArtifactStore, job_folder, upload_key
from contract.jobs import JobStore
from contract.queues import QUEUES
from contract.records import JobRecord

log = logging.getLogger(__name__)

_SECONDS_PER_DAY = 86_400
#: jobs looked at per kind and round, oldest first
_BATCH = 200


class Retention:
    """Forgets jobs.

    Args:
        jobs: the records.
        artifacts: the files.
        days: how long an ended job is kept.
    """

    def __init__(self, jobs: JobStore, artifacts: ArtifactStore, days: float) -> None:
        self._jobs, self._artifacts, self._days = jobs, artifacts, days

    def sweep(self, now: float) -> bool:
        """Delete what ended more than `days` before `now`, in Unix seconds.

        Returns:
            Whether there may be more of it.
        """
        deleted = 0
        cutoff = now - self._days * _SECONDS_PER_DAY
        for kind in QUEUES:
            oldest = self._jobs.list_ids(kind, _BATCH, after=None, newest_first=False)
            for record in self._jobs.get_many(oldest):
                if record.completed_at is not None and record.completed_at < cutoff:
                    self._delete(record)
                    deleted += 1
        return deleted >= _BATCH

    def _delete(self, record: JobRecord) -> None:
        self._artifacts.delete_all(job_folder(record.id))
        self._artifacts.delete_all(upload_key(record.id).rpartition("/")[0])
        self._jobs.delete(record.id, is_expired=True)
        log.info("job %s: deleted after its time", record.id)
