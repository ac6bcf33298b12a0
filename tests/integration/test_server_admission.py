"""The step that lets a job in, on real Redis: limits hold however many come at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import redis

from contract.jobs import JobStore
from contract.records import JobRecord
from contract.requests import UnderstandRequest
from contract.usage import stored_bytes
from server.errors import Gone, TooMany, Unavailable
from server.queue import JobQueue

pytestmark = pytest.mark.every_redis

REQUEST = UnderstandRequest(source="uploads/x", seed=1, num_inference_steps=1)
AT_ONCE = 8


@pytest.fixture
def jobs(connection: redis.Redis) -> JobStore:
    return JobStore(connection)


def waiting(connection: redis.Redis) -> list[bytes]:
    tickets: list[bytes] = connection.lrange("rq:queue:understand", 0, -1)  # type: ignore[assignment]
    return tickets


@pytest.mark.parametrize(
    ("max_queued", "max_live", "refusal"), [(3, None, Unavailable), (100, 3, TooMany)]
)
def test_no_more_than_may_get_in_at_once(
    connection: redis.Redis,
    jobs: JobStore,
    max_queued: int,
    max_live: int | None,
    refusal: type[Exception],
) -> None:
    queue = JobQueue(connection, jobs, max_queued, lambda _: max_live)
    start = Barrier(AT_ONCE)

    def submit(number: int) -> bool:
        start.wait()
        try:
            queue.submit(f"caption_{number}", REQUEST, "a")
        except refusal:
            return False
        return True

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(submit, range(AT_ONCE))) == 3
    assert len(waiting(connection)) == len(jobs.live_ids()) == 3


def test_the_same_step_twice_makes_one_job(connection: redis.Redis, jobs: JobStore) -> None:
    queue = JobQueue(connection, jobs, 1)
    first, again = (queue.submit("caption_x", REQUEST, "a", input_bytes=7) for _ in range(2))
    assert first == again == jobs.get("caption_x")
    assert waiting(connection) == [b"caption_x"]
    assert stored_bytes(connection, "a") == 7


def test_the_id_of_a_deleted_job_is_not_used_again(connection: redis.Redis, jobs: JobStore) -> None:
    queue = JobQueue(connection, jobs, 10)
    record: JobRecord = queue.submit("caption_x", REQUEST, "a", input_bytes=7)
    queue.cancel(record)
    jobs.delete(record.id)
    with pytest.raises(Gone, match="caption_x was deleted"):
        queue.submit("caption_x", REQUEST, "a", input_bytes=7)
    assert (waiting(connection), stored_bytes(connection, "a")) == ([], 0)
