"""A slot bothers Redis little for rq's sake, and leaves rq's books in order."""

import signal

import pytest
import redis
from rq.job import JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.queues import TICKET_OPTIONS
from worker.settings import WorkerSettings
from worker.slot import Slot
from worker.tickets import enqueue
from worker.waiting import Drain

JOBS = 20
#: take the job, read its ticket, lease it twice (rq has two books), put it away; a wait and a beat
ROUND_TRIPS = 6


class Willing:
    """Does every job at once."""

    def __init__(self):
        self.held = []

    def hold(self, job_id, owner, watch, may_retry):
        self.held.append(job_id)

    def check(self):
        """Nothing is ever cancelled."""


@pytest.fixture
def connection(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def queue(connection):
    return Queue("generate", connection=connection, serializer=JSONSerializer)


@pytest.fixture
def work(connection):
    """Return a function that lets a slot do so many jobs."""
    before = signal.getsignal(signal.SIGTERM)
    holder, drain = Willing(), Drain()

    def run(jobs):
        settings = WorkerSettings(redis_url="redis://unused", lease_seconds=15)
        Slot("generate", connection, holder, drain, settings).work(max_jobs=jobs)
        return holder.held

    yield run
    drain.close()
    signal.signal(signal.SIGTERM, before)


def reads(connection):
    return connection.info("stats")["total_reads_processed"]


def test_jobs_are_done_in_order_with_few_round_trips(connection, queue, work):
    ids = [f"video_{number}" for number in range(JOBS)]
    for job_id in ids:
        enqueue(queue, job_id)
    work_of_none = reads(connection)
    held = work(JOBS)
    assert held == ids
    assert reads(connection) - work_of_none < ROUND_TRIPS * JOBS


def test_a_finished_ticket_stays_for_a_while_and_holds_no_lease(connection, queue, work):
    enqueue(queue, "video_1")
    work(1)
    ticket = queue.fetch_job("video_1")
    assert ticket.get_status() == JobStatus.FINISHED
    assert 0 < connection.ttl(ticket.key) <= TICKET_OPTIONS["result_ttl"]
    assert queue.finished_job_registry.get_job_ids() == ["video_1"]
    for key in (queue.started_job_registry.key, queue.key, queue.intermediate_queue_key):
        assert not connection.exists(key)
    assert ticket.get_executions() == []
