"""The end of a batch: its outcomes become an output file and an error file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from contract.artifacts import batch_folder, file_key
from contract.batch_records import BatchRecord, BatchStatus
from contract.files import FileRecord, expiry
from server.services import Services


def end_batch(services: Services, batch: BatchRecord, renew: Iterable[None]) -> None:
    """Write the files of a batch whose lines have all been settled, and end it.

    Doing it again writes the same files again.

    Args:
        services: the connections.
        batch: is finalizing or cancelling.
        renew: asked for its next element after each outcome.
    """
    files = [_write(services, batch, is_completed, renew) for is_completed in (True, False)]
    status = BatchStatus(batch.ending or BatchStatus.COMPLETED)
    services.batches.finish(batch.id, status, *files)
    services.artifacts.delete_all(batch_folder(batch.id))


def _write(
    services: Services, batch: BatchRecord, is_completed: bool, renew: Iterable[None]
) -> str:
    """Return the id of a file of outcomes; empty where there are none."""
    if not (batch.completed if is_completed else batch.failed):
        return ""
    size = 0

    def lines() -> Iterator[bytes]:
        nonlocal size
        outcomes = services.batches.outcomes(batch.id, is_completed)
        for outcome, _ in zip(outcomes, renew, strict=False):
            line = f"{outcome}\n".encode()
            size += len(line)
            yield line

    name = "output" if is_completed else "error"
    file_id, now = f"file-{batch.id.removeprefix('batch_')}-{name}", time.time()
    services.artifacts.write(file_key(file_id), lines(), "application/octet-stream")
    services.files.create(
        FileRecord(
            id=file_id,
            account=batch.account,
            filename=f"{batch.id}_{name}.jsonl",
            purpose="batch_output",
            bytes=size,
            created_at=now,
            expires_at=expiry("batch_output", now, batch.output_lifetime),
        )
    )
    return file_id
