"""The least that makes a job over HTTP, served like our own API: `python -m ... REDIS_URL PORT`.

`POST /jobs` writes one hash and enqueues an echo of its body; `GET /jobs/ID` says how it stands.
"""

from __future__ import annotations

import sys
import uuid

import redis
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from rq.job import Job
from rq.queue import Queue

from benchmarks.lanes import STOCK_QUEUE

ECHO = "benchmarks.empty_job.echo"


class Wish(BaseModel):
    """What to echo, after how many seconds."""

    prompt: str
    engine_seconds: float


class Echo(BaseModel):
    """A job as it stands; the words of rq."""

    id: str
    status: str
    text: str | None = None


def create_app(connection: redis.Redis) -> FastAPI:
    """Build the application."""
    app = FastAPI()
    queue = Queue(STOCK_QUEUE, connection=connection)

    @app.post("/jobs")
    def create(wish: Wish) -> Echo:
        job_id = uuid.uuid4().hex
        connection.hset(f"bare:{job_id}", mapping={"prompt": wish.prompt, "status": "queued"})
        queue.enqueue_call(ECHO, args=(wish.prompt, wish.engine_seconds), job_id=job_id)
        return Echo(id=job_id, status="queued")

    @app.get("/jobs/{job_id}")
    def retrieve(job_id: str) -> Echo:
        job = Job.fetch(job_id, connection=connection)
        return Echo(id=job_id, status=str(job.get_status().value), text=job.return_value())

    return app


def main(url: str, port: str) -> None:
    """Listen until SIGTERM."""
    app = create_app(redis.Redis.from_url(url))
    uvicorn.run(app, port=int(port), loop="uvloop", http="httptools", log_config=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
