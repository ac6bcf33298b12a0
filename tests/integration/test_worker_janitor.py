"""The janitor on a real Redis: every place in which a process can die and leave a job behind."""

import time

import pytest
import redis
from rq import Retry
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.artifacts import ArtifactStore, upload_key
from contract.errors import ErrorCode, ErrorInfo
from contract.jobs import LIVE_KEY, JobStore
from contract.queues import QUEUES
from contract.records import Status, new_job_id
from contract.requests import GenerateRequest, UnderstandRequest
from worker.janitor import Janitor
from worker.reconciler import Reconciler
from worker.retention import Retention
from worker.settings import WorkerSettings
from worker.tickets import enqueue

DAY = 86_400


@pytest.fixture
def connection(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def jobs(connection):
    return JobStore(connection)


@pytest.fixture
def queues(connection):
    return {kind: Queue(kind, connection=connection, serializer=JSONSerializer) for kind in QUEUES}


@pytest.fixture
def queue(queues):
    return queues["generate"]


@pytest.fixture
def reconciler(connection, jobs, queues):
    return Reconciler(connection, jobs, queues)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path.as_uri())


@pytest.fixture
def recorded(connection, jobs):
    """Return a function that records a job and puts no ticket into its queue."""

    def record(kind="generate"):
        job_id = new_job_id(kind)
        request = GenerateRequest(
            prompt="a ball",
            seed=0,
            height=8,
            width=8,
            num_frames=1,
            fps=1,
            num_inference_steps=1,
            guidance_scale=1.0,
        )
        if kind == "understand":
            request = UnderstandRequest(source=upload_key(job_id), seed=0, num_inference_steps=1)
        with connection.pipeline() as pipeline:
            jobs.create(job_id, request, pipeline)
            pipeline.execute()
        return job_id

    return record


def test_recorded_job_in_no_queue_is_queued_on_the_second_sighting(reconciler, recorded, queue):
    job_id = recorded()
    reconciler.sweep(now=100.0)
    reconciler.sweep(now=102.9)
    assert queue.job_ids == []
    reconciler.sweep(now=103.1)
    assert queue.job_ids == [job_id]
    reconciler.sweep(now=107.0)
    assert queue.job_ids == [job_id]


def test_job_queued_again_has_all_the_parameters_of_a_first_ticket(reconciler, recorded, queue):
    first, again = recorded(), recorded()
    enqueue(queue, first)
    reconciler.sweep(now=100.0)
    reconciler.sweep(now=104.0)
    names = ("func_name", "timeout", "result_ttl", "failure_ttl", "retries_left", "origin")
    tickets = [queue.fetch_job(job_id) for job_id in (first, again)]
    assert [getattr(tickets[1], name) for name in names] == [
        getattr(tickets[0], name) for name in names
    ]
    assert tickets[1].args == [again]


def test_sighting_starts_anew_when_the_job_was_seen_somewhere(reconciler, recorded, queue):
    job_id = recorded()
    reconciler.sweep(now=100.0)
    enqueue(queue, job_id)
    reconciler.sweep(now=101.0)
    queue.empty()
    reconciler.sweep(now=104.0)
    assert queue.job_ids == []


def test_lost_ticket_keeps_the_retries_that_are_left(reconciler, recorded, queue):
    job_id = recorded()
    enqueue(queue, job_id)
    job = queue.fetch_job(job_id)
    job.retries_left = 1
    job.save()
    queue.connection.delete(queue.key)
    reconciler.sweep(now=100.0)
    reconciler.sweep(now=104.0)
    assert queue.job_ids == [job_id]
    assert queue.fetch_job(job_id).retries_left == 1


def test_job_that_rq_gave_up_on_ends_as_worker_lost(reconciler, recorded, queue, jobs):
    job_id = recorded()
    enqueue(queue, job_id)
    queue.connection.delete(queue.key)
    queue.fetch_job(job_id).set_status(JobStatus.FAILED)
    assert jobs.claim(job_id, "slot") == 1
    reconciler.sweep(now=100.0)
    reconciler.sweep(now=104.0)
    record = jobs.get(job_id)
    assert record.status is Status.FAILED
    assert record.error.code == ErrorCode.WORKER_LOST
    assert queue.job_ids == []


def test_abandoning_is_refused_once_the_job_was_claimed_again(recorded, jobs):
    job_id = recorded()
    jobs.claim(job_id, "slot")
    error = ErrorInfo(code=ErrorCode.WORKER_LOST, message="lost")
    assert not jobs.abandon(job_id, 0, error)
    assert jobs.get(job_id).status is Status.IN_PROGRESS
    assert jobs.abandon(job_id, 1, error)
    assert not jobs.abandon(job_id, 1, error)


def test_job_popped_by_a_slot_that_died_returns_to_the_front(reconciler, recorded, queue):
    stuck, waiting = recorded(), recorded()
    for job_id in (stuck, waiting):
        enqueue(queue, job_id)
    queue.connection.lmove(queue.key, queue.intermediate_queue_key, "LEFT", "RIGHT")
    reconciler.sweep(now=100.0)
    reconciler.sweep(now=104.9)
    assert queue.job_ids == [waiting]
    reconciler.sweep(now=105.1)
    assert queue.job_ids == [stuck, waiting]
    assert queue.intermediate_queue.get_job_ids() == []


def test_popped_ticket_that_rq_has_forgotten_is_written_anew(reconciler, recorded, queue):
    job_id = recorded()
    queue.connection.rpush(queue.intermediate_queue_key, job_id)
    reconciler.sweep(now=100.0)
    reconciler.sweep(now=106.0)
    assert queue.job_ids == [job_id]
    assert queue.fetch_job(job_id).args == [job_id]


def test_stale_entry_of_an_ended_job_is_removed_and_not_queued(reconciler, recorded, queue, jobs):
    job_id = recorded()
    jobs.cancel(job_id)
    queue.connection.rpush(queue.intermediate_queue_key, job_id)
    reconciler.sweep(now=100.0)
    reconciler.sweep(now=106.0)
    assert queue.intermediate_queue.get_job_ids() == []
    assert queue.job_ids == []


def test_leased_job_is_left_alone(reconciler, recorded, queue):
    job_id = recorded()
    queue.connection.zadd(queue.started_job_registry.key, {f"{job_id}:e1": time.time() + 60})
    for now in (100.0, 110.0):
        reconciler.sweep(now)
    assert queue.job_ids == []


def test_live_entry_without_a_record_is_forgotten(reconciler, connection, jobs):
    connection.sadd(LIVE_KEY, "video_gone")
    reconciler.sweep(now=100.0)
    reconciler.sweep(now=104.0)
    assert jobs.live_ids() == set()


def settings(redis_url):
    return WorkerSettings(redis_url=redis_url)


def test_job_with_an_expired_lease_is_queued_at_the_cost_of_a_retry(
    connection, store, redis_url, recorded, queue
):
    job_id = recorded()
    enqueue(queue, job_id)
    connection.delete(queue.key)
    connection.zadd(queue.started_job_registry.key, {f"{job_id}:e1": time.time() - 1})
    Janitor(connection, store, settings(redis_url)).sweep()
    assert queue.job_ids == [job_id]
    assert queue.fetch_job(job_id).retries_left == 1


def test_job_whose_failure_callback_is_broken_does_not_stop_the_sweep(
    connection, store, redis_url, queue, caplog
):
    job = Job.create(
        "univigu.job", connection=connection, serializer=JSONSerializer, origin="generate"
    )
    job._failure_callback_name = "no.such.callback"
    job.retries_left = Retry(max=1).max
    job.save()
    connection.zadd(queue.started_job_registry.key, {f"{job.id}:e1": time.time() - 1})
    Janitor(connection, store, settings(redis_url)).sweep()
    assert "queue generate: could not be cleaned" in caplog.text


def test_only_one_janitor_leads_until_it_leaves(connection, store, redis_url, recorded, queue):
    first, second = (Janitor(connection, store, settings(redis_url)) for _ in range(2))
    job_id = recorded()
    enqueue(queue, job_id)
    connection.delete(queue.key)
    first.sweep()
    connection.zadd(queue.started_job_registry.key, {f"{job_id}:e1": time.time() - 1})
    second.sweep()
    assert queue.job_ids == []
    first.leave()
    second.sweep()
    assert queue.job_ids == [job_id]


def test_old_ended_job_is_deleted_with_all_its_files(jobs, store, recorded):
    job_id = recorded("understand")
    for key in (upload_key(job_id), f"jobs/{job_id}/1/caption.txt", f"jobs/{job_id}/2/caption.txt"):
        store.put(key, b"x", "text/plain")
    jobs.cancel(job_id)
    retention = Retention(jobs, store, days=7)
    retention.sweep(time.time() + 6.9 * DAY)
    assert jobs.get(job_id) is not None
    retention.sweep(time.time() + 7.1 * DAY)
    assert jobs.get(job_id) is None
    assert store.list("jobs/") + store.list("uploads/") == []


def test_job_that_has_not_ended_is_kept_however_old(jobs, store, recorded):
    job_id = recorded()
    Retention(jobs, store, days=7).sweep(time.time() + 100 * DAY)
    assert jobs.get(job_id).status is Status.QUEUED
