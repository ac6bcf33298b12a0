"""The job record on real Redis: who may change it, and what it says afterwards."""

import pytest
import redis

from contract.errors import ErrorInfo
from contract.events import read_events
from contract.jobs import JobStore, Progress
from contract.queues import Kind, id_prefix
from contract.records import Status, new_job_id
from contract.requests import GenerateRequest, JobResult

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
RESULT = JobResult(text="a red circle", artifacts={"video": "jobs/x/1/video.mp4"}, seed=1)


@pytest.fixture
def jobs(connection: redis.Redis) -> JobStore:
    return JobStore(connection)


@pytest.fixture
def job_id(jobs: JobStore, connection: redis.Redis) -> str:
    job_id = new_job_id("generate")
    with connection.pipeline() as pipeline:
        jobs.create(job_id, GENERATE, pipeline)
        pipeline.execute()
    return job_id


def event_types(connection: redis.Redis, job_id: str) -> list[str]:
    return [event.type for event in read_events(connection, job_id)]


def test_a_new_job_is_queued_and_live(jobs: JobStore, job_id: str) -> None:
    record = jobs.get(job_id)
    assert record is not None
    assert (record.status, record.attempt, record.kind) == (Status.QUEUED, 0, "generate")
    assert record.parsed_request() == GENERATE
    assert jobs.live_ids() == {job_id}


@pytest.mark.parametrize("kind", ["generate", "understand"])
def test_an_id_tells_the_kind_and_is_never_given_twice(kind: Kind) -> None:
    assert new_job_id(kind).startswith(id_prefix(kind))
    assert new_job_id(kind) != new_job_id(kind)


def test_an_unknown_job_is_none(jobs: JobStore) -> None:
    assert jobs.get("video_unknown") is None
    assert jobs.cancel("video_unknown") is None
    assert jobs.claim("video_unknown", "slot") == 0


def test_a_claim_starts_the_job_and_counts_attempts(jobs: JobStore, job_id: str) -> None:
    assert jobs.claim(job_id, "slot-a") == 1
    first = jobs.get(job_id)
    assert jobs.claim(job_id, "slot-b") == 2
    second = jobs.get(job_id)
    assert first is not None
    assert second is not None
    assert (second.status, second.owner) == (Status.IN_PROGRESS, "slot-b")
    assert second.started_at == first.started_at


def test_progress_is_recorded_and_logged(
    jobs: JobStore, connection: redis.Redis, job_id: str
) -> None:
    attempt = jobs.claim(job_id, "slot")
    assert jobs.progress(job_id, attempt, "denoise", 3, 20) is Progress.ACCEPTED
    record = jobs.get(job_id)
    assert record is not None
    assert (record.phase, record.step, record.of) == ("denoise", 3, 20)
    last = read_events(connection, job_id)[-1]
    assert (last.type, last.data) == ("progress", {"phase": "denoise", "step": 3, "of": 20})


def test_a_zombie_of_an_older_attempt_changes_nothing(jobs: JobStore, job_id: str) -> None:
    old = jobs.claim(job_id, "zombie")
    new = jobs.claim(job_id, "slot")
    before = jobs.get(job_id)
    assert jobs.progress(job_id, old, "denoise", 19, 20) is Progress.NOT_MINE
    assert not jobs.release(job_id, old)
    assert not jobs.finish(job_id, old, Status.COMPLETED, result=RESULT)
    assert jobs.get(job_id) == before
    assert jobs.finish(job_id, new, Status.COMPLETED, result=RESULT)


def test_a_pure_check_appends_no_event(
    jobs: JobStore, connection: redis.Redis, job_id: str
) -> None:
    attempt = jobs.claim(job_id, "slot")
    assert jobs.report(job_id, attempt, "", {}) is Progress.ACCEPTED
    assert event_types(connection, job_id) == ["queued", "started"]


def test_a_released_job_is_queued_again(jobs: JobStore, job_id: str) -> None:
    attempt = jobs.claim(job_id, "slot")
    assert jobs.release(job_id, attempt)
    record = jobs.get(job_id)
    assert record is not None
    assert (record.status, record.owner) == (Status.QUEUED, "")
    assert jobs.claim(job_id, "slot") == attempt + 1


def test_a_finished_job_has_its_result_and_is_not_live(
    jobs: JobStore, connection: redis.Redis, job_id: str
) -> None:
    attempt = jobs.claim(job_id, "slot")
    assert jobs.finish(job_id, attempt, Status.COMPLETED, result=RESULT)
    record = jobs.get(job_id)
    assert record is not None
    assert (record.status, record.result, record.error) == (Status.COMPLETED, RESULT, None)
    assert record.completed_at is not None
    assert jobs.live_ids() == set()
    assert event_types(connection, job_id) == ["queued", "started", "completed"]


def test_a_failed_job_says_why_in_record_and_log(
    jobs: JobStore, connection: redis.Redis, job_id: str
) -> None:
    attempt = jobs.claim(job_id, "slot")
    error = ErrorInfo(code="timeout", message="took longer than 3600 s")
    assert jobs.finish(job_id, attempt, Status.FAILED, error=error)
    record = jobs.get(job_id)
    assert record is not None
    assert record.error == error
    assert read_events(connection, job_id)[-1].data["code"] == "timeout"


def test_repeating_an_accepted_finish_is_accepted_and_logs_once(
    jobs: JobStore, connection: redis.Redis, job_id: str
) -> None:
    attempt = jobs.claim(job_id, "slot")
    for _ in range(2):
        assert jobs.finish(job_id, attempt, Status.COMPLETED, result=RESULT)
    assert event_types(connection, job_id).count("completed") == 1


def test_an_ended_job_cannot_be_claimed_or_ended_otherwise(jobs: JobStore, job_id: str) -> None:
    attempt = jobs.claim(job_id, "slot")
    jobs.finish(job_id, attempt, Status.COMPLETED, result=RESULT)
    assert jobs.claim(job_id, "slot") == 0
    assert not jobs.finish(job_id, attempt, Status.FAILED)
    assert jobs.cancel(job_id) is Status.COMPLETED


def test_cancel_of_a_queued_job_is_at_once(
    jobs: JobStore, connection: redis.Redis, job_id: str
) -> None:
    assert jobs.cancel(job_id) is Status.CANCELLED
    assert jobs.claim(job_id, "slot") == 0
    assert jobs.live_ids() == set()
    assert event_types(connection, job_id) == ["queued", "cancelled"]


def test_cancel_of_a_running_job_waits_for_its_slot(jobs: JobStore, job_id: str) -> None:
    attempt = jobs.claim(job_id, "slot")
    assert jobs.cancel(job_id) is Status.IN_PROGRESS
    assert jobs.progress(job_id, attempt, "denoise", 1, 20) is Progress.CANCEL_REQUESTED
    record = jobs.get(job_id)
    assert record is not None
    assert record.status is Status.IN_PROGRESS
    assert record.cancel_requested_at is not None
    assert jobs.finish(job_id, attempt, Status.CANCELLED)


def test_cancel_twice_logs_one_request(
    jobs: JobStore, connection: redis.Redis, job_id: str
) -> None:
    jobs.claim(job_id, "slot")
    jobs.cancel(job_id)
    jobs.cancel(job_id)
    assert event_types(connection, job_id) == ["queued", "started", "cancel_requested"]


def test_a_job_whose_slot_died_after_the_cancel_ends_at_the_next_claim(
    jobs: JobStore, job_id: str
) -> None:
    jobs.claim(job_id, "slot")
    jobs.cancel(job_id)
    assert jobs.claim(job_id, "other-slot") == 0
    record = jobs.get(job_id)
    assert record is not None
    assert record.status is Status.CANCELLED


def test_a_deleted_running_job_is_nobodys(
    jobs: JobStore, connection: redis.Redis, job_id: str
) -> None:
    attempt = jobs.claim(job_id, "slot")
    jobs.delete(job_id)
    assert jobs.progress(job_id, attempt, "denoise", 1, 20) is Progress.NOT_MINE
    assert not jobs.finish(job_id, attempt, Status.COMPLETED, result=RESULT)
    assert jobs.get(job_id) is None
    assert read_events(connection, job_id) == []
    assert jobs.list_ids("generate", 10, None, newest_first=True) == []


@pytest.mark.parametrize("claims", [0, 2])
def test_a_job_that_nobody_will_try_again_is_abandoned(
    jobs: JobStore, connection: redis.Redis, job_id: str, claims: int
) -> None:
    for _ in range(claims):
        jobs.claim(job_id, "slot")
    error = ErrorInfo(code="worker_lost", message="every attempt lost its worker")
    assert jobs.abandon(job_id, claims, error)
    record = jobs.get(job_id)
    assert record is not None
    assert (record.status, record.error) == (Status.FAILED, error)
    assert jobs.live_ids() == set()
    assert event_types(connection, job_id)[-1] == "failed"


def test_a_job_claimed_since_is_not_abandoned(jobs: JobStore, job_id: str) -> None:
    error = ErrorInfo(code="worker_lost", message="every attempt lost its worker")
    attempt = jobs.claim(job_id, "slot")
    assert not jobs.abandon(job_id, attempt - 1, error)
    assert jobs.finish(job_id, attempt, Status.COMPLETED, result=RESULT)
    assert not jobs.abandon(job_id, attempt, error)
    record = jobs.get(job_id)
    assert record is not None
    assert record.status is Status.COMPLETED
