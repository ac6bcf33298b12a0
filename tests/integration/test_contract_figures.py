"""What became of jobs is counted in the step that ends them, once."""

import pytest
import redis

from contract.errors import ErrorInfo
from contract.figures import read_figures
from contract.jobs import JobStore
from contract.records import Status, new_job_id
from contract.requests import JobResult, UnderstandRequest

pytestmark = pytest.mark.every_redis

REQUEST = UnderstandRequest(source="uploads/x/source", seed=1, num_inference_steps=4)
ERROR = ErrorInfo(code="out_of_memory", message="too large")


@pytest.fixture
def jobs(connection: redis.Redis) -> JobStore:
    return JobStore(connection)


def created(jobs: JobStore, connection: redis.Redis) -> str:
    job_id = new_job_id("understand")
    with connection.pipeline() as pipeline:
        jobs.create(job_id, REQUEST, pipeline)
        pipeline.execute()
    return job_id


def test_a_completed_job_is_counted_once_with_its_times(
    jobs: JobStore, connection: redis.Redis
) -> None:
    job_id = created(jobs, connection)
    attempt = jobs.claim(job_id, "worker")
    result = JobResult(seed=1, stage_durations={"read": 0.25, "denoise": 4.0})
    for _ in range(2):
        assert jobs.finish(job_id, attempt, Status.COMPLETED, result=result)
    figures = read_figures(connection)
    assert figures.ended == {("understand", "completed", ""): 1}
    assert figures.stage["understand", "denoise"].sum == 4.0
    cumulated = dict(figures.stage["understand", "denoise"].cumulated())
    assert (cumulated["2"], cumulated["5"], cumulated["+Inf"]) == (0, 1, 1)
    assert dict(figures.stage["understand", "read"].cumulated())["0.5"] == 1
    record = jobs.get(job_id)
    assert record is not None
    assert record.started_at is not None
    assert record.completed_at is not None
    assert figures.wait["understand"].sum == pytest.approx(record.started_at - record.created_at)
    mean = figures.run["understand"].mean
    assert mean == pytest.approx(record.completed_at - record.started_at, abs=1e-4)


def test_failed_lost_and_cancelled_jobs_are_counted_by_their_code(
    jobs: JobStore, connection: redis.Redis
) -> None:
    failed, lost, cancelled, late = (created(jobs, connection) for _ in range(4))
    jobs.finish(failed, jobs.claim(failed, "worker"), Status.FAILED, error=ERROR)
    jobs.abandon(lost, 0, ErrorInfo(code="worker_lost", message="gone"))
    jobs.cancel(cancelled)
    jobs.claim(late, "worker")
    jobs.cancel(late)
    assert jobs.claim(late, "another") == 0
    figures = read_figures(connection)
    assert figures.ended == {
        ("understand", "failed", "out_of_memory"): 1,
        ("understand", "failed", "worker_lost"): 1,
        ("understand", "cancelled", ""): 2,
    }
    assert figures.run == {}


def test_a_time_over_every_bound_is_in_the_last_bucket(
    jobs: JobStore, connection: redis.Redis
) -> None:
    job_id = created(jobs, connection)
    result = JobResult(seed=1, stage_durations={"denoise": 5000.0})
    jobs.finish(job_id, jobs.claim(job_id, "worker"), Status.COMPLETED, result=result)
    *_, below, last = read_figures(connection).stage["understand", "denoise"].cumulated()
    assert (below, last) == (("3600", 0), ("+Inf", 1))
