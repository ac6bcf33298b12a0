"""Deletes files that have expired, uploads that nobody completed, and batches of long ago."""

from __future__ import annotations

import logging

import redis

from contract.artifacts import ArtifactStore, batch_folder, file_folder, parts_folder
from contract.batches import BatchStore
from contract.files import FileStore
from contract.uploads import UploadStatus, UploadStore

log = logging.getLogger(__name__)

#: of each kind, looked at per round
_BATCH = 200


class FileRetention:
    """Forgets what clients have sent.

    Args:
        connection: Redis.
        artifacts: the files.
    """

    def __init__(self, connection: redis.Redis, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._files = FileStore(connection)
        self._uploads = UploadStore(connection)
        self._batches = BatchStore(connection)

    def sweep(self, now: float) -> None:
        """Delete what is over by `now`, in Unix seconds."""
        for file in self._files.expired(now, _BATCH):
            self._artifacts.delete_all(file_folder(file.id))
            self._files.delete(file)
            log.info("%s: deleted after its time", file.id)
        for upload in self._uploads.expired(now, _BATCH):
            self._artifacts.delete_all(parts_folder(upload.id))
            self._uploads.finish(upload, UploadStatus.EXPIRED)
            log.info("%s: nobody has completed it", upload.id)
        for batch in self._batches.outdated(now, _BATCH):
            self._artifacts.delete_all(batch_folder(batch.id))
            self._batches.delete(batch)
            log.info("%s: deleted after its time", batch.id)
