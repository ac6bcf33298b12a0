"""Jobs found by kind, page and id, on real Redis."""

import pytest
import redis

from contract.jobs import JobStore
from contract.records import new_job_id
from contract.requests import GenerateRequest, JobRequest, UnderstandRequest

pytestmark = pytest.mark.every_redis

GENERATE = GenerateRequest(
    prompt="a red circle",
    seed=1,
    height=64,
    width=96,
    num_frames=9,
    fps=8,
    num_inference_steps=20,
    guidance_scale=4.5,
)
UNDERSTAND = UnderstandRequest(source="uploads/x/source", seed=0, num_inference_steps=4)


@pytest.fixture
def jobs(connection: redis.Redis) -> JobStore:
    return JobStore(connection)


def created(jobs: JobStore, connection: redis.Redis, request: JobRequest = GENERATE) -> str:
    job_id = new_job_id(request.kind)
    with connection.pipeline() as pipeline:
        jobs.create(job_id, request, pipeline)
        pipeline.execute()
    return job_id


def test_jobs_are_listed_by_kind_and_page(jobs: JobStore, connection: redis.Redis) -> None:
    ids = [created(jobs, connection) for _ in range(3)]
    created(jobs, connection, UNDERSTAND)
    assert jobs.list_ids("generate", 2, None, newest_first=False) == ids[:2]
    assert jobs.list_ids("generate", 2, ids[1], newest_first=False) == ids[2:]
    assert jobs.list_ids("generate", 2, ids[2], newest_first=True) == [ids[1], ids[0]]
    assert jobs.list_ids("generate", 2, "video_unknown", newest_first=True) == []


def test_a_page_of_no_jobs_is_empty(jobs: JobStore, connection: redis.Redis) -> None:
    created(jobs, connection)
    assert jobs.list_ids("generate", 0, None, newest_first=True) == []


def test_many_records_come_in_the_order_asked_without_the_missing(
    jobs: JobStore, connection: redis.Redis
) -> None:
    first, second = created(jobs, connection), created(jobs, connection)
    records = jobs.get_many([second, "video_unknown", first])
    assert [record.id for record in records] == [second, first]
