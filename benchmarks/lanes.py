"""Two queues of one Redis, ours and a stock one, and the time that their empty jobs take."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.jobs import JobStore
from contract.records import Status, new_job_id
from contract.requests import GenerateRequest
from worker.tickets import enqueue

STOCK_QUEUE = "stock"
REQUEST = GenerateRequest(
    prompt="nothing",
    seed=0,
    height=16,
    width=16,
    num_frames=1,
    fps=1,
    num_inference_steps=1,
    guidance_scale=1.0,
)
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.001


class Lanes:
    """The two queues of a running Redis, with nobody behind them yet."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis, self._jobs = connection, JobStore(connection)
        self._ours = Queue("generate", connection=connection, serializer=JSONSerializer)
        self._stock = Queue(STOCK_QUEUE, connection=connection)

    def ours(self, count: int) -> float:
        """Return the seconds from the first submission until all jobs are done by the slot."""
        return self._seconds(self._ours, self._submit, count)

    def stock(self, count: int) -> float:
        """Return the same of the stock worker."""
        submit = "benchmarks.empty_job.nothing"
        return self._seconds(self._stock, lambda: self._stock.enqueue_call(submit), count)

    def check(self, count: int) -> None:
        """Assert that so many jobs have been done by each, none failed."""
        ids = self._jobs.list_ids("generate", count + 1, None, newest_first=True)
        assert len(ids) == count
        assert {record.status for record in self._jobs.get_many(ids)} == {Status.COMPLETED}
        assert self._finished(self._stock) == count

    def _submit(self) -> None:
        job_id = new_job_id("generate")
        with self._redis.pipeline() as pipeline:
            self._jobs.create(job_id, REQUEST, pipeline)
            pipeline.execute()
        enqueue(self._ours, job_id)

    def _seconds(self, queue: Queue, submit: Callable[[], object], count: int) -> float:
        done = self._finished(queue) + count
        started = time.perf_counter()
        for _ in range(count):
            submit()
        while self._finished(queue) < done:
            assert time.perf_counter() - started < _PATIENCE_SECONDS, f"{queue.name} is stuck"
            time.sleep(_POLL_SECONDS)
        return time.perf_counter() - started

    def _finished(self, queue: Queue) -> int:
        return int(self._redis.zcard(queue.finished_job_registry.key))
