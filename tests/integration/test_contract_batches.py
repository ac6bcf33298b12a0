"""The transitions of a batch: each line is taken once and settled once, whoever tries."""

import time

import pytest

from contract.batch_records import BatchError, BatchRecord, BatchStatus, new_batch_id
from contract.batches import BatchStore
from contract.outbox import OUTBOX_KEY, endpoints_key

pytestmark = pytest.mark.every_redis

SIZE = 100


@pytest.fixture
def batches(connection):
    return BatchStore(connection)


@pytest.fixture
def made(batches):
    """A function that makes a batch, in progress unless asked otherwise."""

    def make(begun=True, **fields):
        batch_id = new_batch_id()
        given = {
            "id": batch_id,
            "endpoint": "/v1/videos",
            "input_file_id": "file-1",
            "size": SIZE,
            "created_at": 1.5,
            "expires_at": 9.0,
        }
        batches.create(BatchRecord(**(given | fields)))
        if begun:
            assert batches.begin(batch_id, 3)
        return batch_id

    return make


def counts(batches, batch_id):
    record = batches.get(batch_id)
    return record.completed, record.failed


def test_a_record_is_read_as_it_was_written(batches):
    record = BatchRecord(
        id="batch_1",
        account="a",
        endpoint="/v1/videos",
        input_file_id="file-1",
        size=SIZE,
        created_at=1.25,
        expires_at=9.0,
        metadata={"k": "ä"},
        output_lifetime=3600,
    )
    batches.create(record)
    assert batches.get("batch_1") == record
    batches.create(record.model_copy(update={"size": 1}))
    assert batches.get("batch_1") == record
    assert batches.live_ids() == ["batch_1"]
    assert batches.get("batch_2") is None


def test_lists_are_newest_first_and_per_account(batches, made):
    ids = [made(created_at=float(at), account=name) for at, name in enumerate("aab")]
    assert batches.list_ids(9, None) == ids[::-1]
    assert batches.list_ids(9, None, "a") == [ids[1], ids[0]]
    assert batches.list_ids(9, ids[1], "a") == [ids[0]]


def test_a_line_is_taken_once(batches, made):
    batch_id = made()
    assert batches.advance(batch_id, 0, 10, "first")
    assert not batches.advance(batch_id, 0, 10, "first")
    assert not batches.advance(batch_id, 0, 20, errors=["again"])
    assert batches.advance(batch_id, 10, 30, errors=["second", "third"])
    assert batches.live_lines(batch_id) == {0: "first"}
    assert batches.get(batch_id).offset == 30
    assert counts(batches, batch_id) == (0, 2)


@pytest.mark.parametrize("is_completed", [True, False])
def test_a_line_is_settled_once(batches, made, is_completed):
    batch_id = made()
    batches.advance(batch_id, 0, 10, "first")
    assert batches.settle(batch_id, 0, is_completed, "done")
    assert not batches.settle(batch_id, 0, is_completed, "done again")
    assert not batches.settle(batch_id, 10, is_completed, "never taken")
    assert list(batches.outcomes(batch_id, is_completed)) == ["done"]
    assert list(batches.outcomes(batch_id, not is_completed)) == []
    assert counts(batches, batch_id) == ((1, 0) if is_completed else (0, 1))
    assert batches.live_lines(batch_id) == {}


def test_all_outcomes_are_read_page_by_page(batches, made):
    batch_id = made()
    expected = [f"line {number}" for number in range(450)]
    assert batches.advance(batch_id, 0, SIZE, errors=expected)
    assert list(batches.outcomes(batch_id, False)) == expected


def test_a_batch_completes(connection, batches, made):
    batch_id = made()
    batches.advance(batch_id, 0, SIZE, "first")
    batches.settle(batch_id, 0, True, "done")
    assert not batches.finish(batch_id, BatchStatus.COMPLETED, "file-o", "")
    assert batches.finalize(batch_id)
    assert not batches.finalize(batch_id)
    assert not batches.cancel(batch_id)
    assert batches.finish(batch_id, BatchStatus.COMPLETED, "file-o", "")
    assert not batches.finish(batch_id, BatchStatus.COMPLETED, "", "")
    record = batches.get(batch_id)
    assert (record.status, record.total) == (BatchStatus.COMPLETED, 3)
    assert (record.output_file_id, record.error_file_id) == ("file-o", None)
    assert record.in_progress_at <= record.finalizing_at <= record.completed_at <= time.time()
    assert batches.live_ids() == []
    (outputs,) = connection.scan_iter(match=f"univigu:batch-*:{batch_id}")
    assert 0 < connection.ttl(outputs) <= 3600


def test_a_batch_is_cancelled_before_or_while_it_runs(batches, made):
    for begun in (False, True):
        batch_id = made(begun)
        assert batches.cancel(batch_id)
        assert not batches.begin(batch_id, 3)
        record = batches.get(batch_id)
        assert (record.status, record.ending) == (BatchStatus.CANCELLING, "cancelled")
        assert batches.finish(batch_id, BatchStatus.CANCELLED, "", "")
        assert batches.get(batch_id).cancelled_at is not None


def test_a_batch_that_is_over_takes_no_lines(batches, made):
    batch_id = made()
    error = BatchError(code="invalid_json", message="no", line=3)
    assert batches.fail(batch_id, [error])
    assert batches.get(batch_id).errors == [error]
    assert not batches.fail(batch_id, [])
    assert not batches.cancel(batch_id)
    assert not batches.advance(batch_id, 0, 10, "first")
    assert batches.live_lines(batch_id) == {}


def test_the_end_is_announced_to_those_who_listen(connection, batches, made):
    connection.hset(endpoints_key("a"), "whe_1", "{}")
    heard, unheard = made(account="a"), made(account="b")
    for batch_id in (heard, unheard):
        batches.finalize(batch_id, "expired")
        batches.finish(batch_id, BatchStatus.EXPIRED, "", "")
    ((_, event),) = connection.xrange(OUTBOX_KEY)
    assert (event[b"type"], event[b"id"]) == (b"batch.expired", heard.encode())


def test_nothing_of_a_deleted_batch_is_left(connection, batches, made):
    batch_id = made(account="a")
    batches.advance(batch_id, 0, 10, "first")
    batches.delete(batches.get(batch_id))
    assert list(connection.scan_iter(match="univigu:*")) == []
