"""Jobs and batches found by the state that they are in, on real Redis."""

import itertools
import random

import pytest

from contract.batch_records import BatchError, BatchRecord, BatchStatus
from contract.batches import BatchStore
from contract.errors import ErrorInfo
from contract.jobs import JobStore
from contract.records import Status, new_job_id
from contract.requests import UnderstandRequest

pytestmark = pytest.mark.every_redis

REQUEST = UnderstandRequest(source="uploads/x/source", seed=0, num_inference_steps=4)
ERROR = ErrorInfo(code="internal_error", message="broken")


@pytest.fixture
def jobs(connection):
    return JobStore(connection)


@pytest.fixture
def make(jobs, connection):
    """A function that makes a job of an account."""

    def create(account="a"):
        job_id = new_job_id("understand")
        with connection.pipeline() as pipeline:
            jobs.create(job_id, REQUEST, pipeline, account=account)
            pipeline.execute()
        return job_id

    return create


def listed(jobs, *statuses, account="a", after=None, newest_first=False, limit=99):
    return jobs.list_ids("understand", limit, after, newest_first, account, statuses)


def states(jobs, job_id, account="a"):
    """Return the states in whose lists a job is."""
    return [status for status in Status if job_id in listed(jobs, status, account=account)]


@pytest.mark.parametrize("account", ["a", ""])
def test_a_job_is_in_the_list_of_its_state_alone(jobs, make, account):
    job_id = make("a")
    assert states(jobs, job_id, account) == ["queued"]
    attempt = jobs.claim(job_id, "slot")
    assert states(jobs, job_id, account) == ["in_progress"]
    jobs.release(job_id, attempt)
    assert states(jobs, job_id, account) == ["queued"]
    attempt = jobs.claim(job_id, "slot")
    jobs.claim(job_id, "another slot")
    assert not jobs.finish(job_id, attempt, Status.FAILED, error=ERROR)
    assert states(jobs, job_id, account) == ["in_progress"]
    assert jobs.abandon(job_id, 3, ERROR)
    assert states(jobs, job_id, account) == ["failed"]


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_an_ended_job_is_in_the_list_of_its_end(jobs, make, end):
    job_id = make()
    jobs.finish(job_id, jobs.claim(job_id, "slot"), end, error=ERROR)
    assert states(jobs, job_id) == [end]


def test_a_queued_job_that_is_cancelled_is_listed_so(jobs, make):
    job_id = make()
    jobs.cancel(job_id)
    assert states(jobs, job_id) == ["cancelled"]


def test_a_deleted_job_is_in_no_list(jobs, make, connection):
    ended, waiting = make(), make("")
    jobs.cancel(ended)
    for job_id in (ended, waiting):
        jobs.delete(job_id)
    assert connection.keys("univigu:jobs:*") == []


def test_a_page_goes_on_behind_a_job_that_has_changed_its_state(jobs, make):
    ids = [make() for _ in range(4)]
    jobs.cancel(ids[1])
    assert listed(jobs, Status.QUEUED, after=ids[1]) == ids[2:]
    assert listed(jobs, Status.QUEUED, after=ids[1], newest_first=True) == ids[:1]
    assert listed(jobs, Status.QUEUED, after="caption_unknown") == []


def test_pages_of_any_states_hold_every_job_once_and_in_order(jobs, make, monkeypatch):
    times = itertools.count()
    # three jobs at each time: their ids decide
    monkeypatch.setattr("contract.jobs.time.time", lambda: 1_795_276_800.1 + next(times) // 3)
    chance = random.Random(7)
    ids = [make(chance.choice("ab")) for _ in range(30)]
    for job_id in ids:
        for _ in range(chance.randrange(3)):
            chance.choice([jobs.cancel, lambda found: jobs.claim(found, "slot")])(job_id)
    records = sorted(jobs.get_many(ids), key=lambda record: (record.created_at, record.id))
    for statuses in itertools.chain.from_iterable(
        itertools.combinations(Status, count) for count in range(3)
    ):
        for newest_first in (False, True):
            mine = [
                record.id
                for record in (records[::-1] if newest_first else records)
                if record.account == "a" and (record.status in statuses or not statuses)
            ]
            paged, after = [], None
            while page := listed(jobs, *statuses, limit=2, after=after, newest_first=newest_first):
                paged += page
                after = page[-1]
            assert paged == mine


class TestBatches:
    @pytest.fixture
    def batches(self, connection):
        return BatchStore(connection)

    @pytest.fixture
    def batch_id(self, batches):
        record = BatchRecord(
            id="batch_1",
            account="a",
            endpoint="/v1/videos",
            input_file_id="file-1",
            size=9,
            created_at=1.5,
            expires_at=9.0,
        )
        batches.create(record)
        return record.id

    def states(self, batches):
        return [status for status in BatchStatus if batches.list_ids(9, None, "a", [status])]

    @pytest.mark.parametrize("ending", ["completed", "expired"])
    def test_a_batch_is_in_the_list_of_its_state_alone(self, batches, batch_id, ending):
        assert self.states(batches) == ["validating"]
        batches.begin(batch_id, 1)
        assert self.states(batches) == ["in_progress"]
        batches.finalize(batch_id)
        assert self.states(batches) == ["finalizing"]
        batches.finish(batch_id, BatchStatus(ending), "", "")
        assert self.states(batches) == [ending]
        assert batches.get(batch_id).status == ending

    def test_so_is_one_that_is_cancelled_or_fails(self, batches, batch_id):
        batches.cancel(batch_id)
        assert self.states(batches) == ["cancelling"]
        batches.fail(batch_id, [BatchError(code="input_lost", message="gone")])
        assert self.states(batches) == ["failed"]

    def test_a_deleted_batch_is_in_no_list(self, batches, batch_id, connection):
        batches.cancel(batch_id)
        batches.delete(batches.get(batch_id))
        assert connection.keys("univigu:batches:*") == []
