"""From a request for a batch to its record, with an input of its own."""

from __future__ import annotations

from contract.artifacts import batch_folder, file_key
from contract.batch_records import BatchRecord, input_key
from server.errors import InvalidRequest, TooMany
from server.limits import storage_for
from server.services import Services


def start_batch(services: Services, record: BatchRecord) -> None:
    """Record a batch, for a driver to find.

    Raises:
        InvalidRequest: if the bytes of its input are gone.
        TooMany: if its account has as many batches, or keeps as many bytes, as it may.
    """
    limit = services.key_ring.limit(
        record.account, "max_live_batches", services.settings.max_live_batches_per_key
    )
    if limit is not None and services.batches.count_live(record.account) >= limit:
        raise _too_many(limit)
    with storage_for(services, record.account, record.id, record.size):
        # its own: the client's file may be deleted, or expire, before the last line is read
        try:
            services.artifacts.copy(file_key(record.input_file_id), input_key(record.id))
        except FileNotFoundError as error:
            message = f"input_file_id: the bytes of {record.input_file_id!r} are gone"
            raise InvalidRequest(message, param="input_file_id") from error
        is_created = services.batches.create(record, limit)
    if not is_created:  # others were faster
        if services.batches.get(record.id) is None:  # else a repeat of this has been let in
            services.artifacts.delete_all(batch_folder(record.id))
        assert limit is not None
        raise _too_many(limit)


def _too_many(limit: int) -> TooMany:
    return TooMany(
        f"{limit} batches of this key have not ended, which is the limit",
        code="too_many_batches",
        unit="batches",
        limit=limit,
        retry_after=30,
    )
