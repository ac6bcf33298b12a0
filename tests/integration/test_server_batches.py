"""`/v1/batches`: what becomes of the lines of a file, on a real Redis and real stores."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from batch_house import BatchHouse, jsonl, video_lines
from fastapi.testclient import TestClient
from openai import BadRequestError, NotFoundError, OpenAI
from s3_servers import S3Server
from server_apps import FRAMES, Worker, create_video

from contract.artifacts import ArtifactStore
from contract.batches import BatchStore
from contract.errors import ErrorCode, ErrorInfo
from contract.records import Status
from server.app import create_app
from server.settings import ServerSettings


@pytest.fixture
def house(server_settings: ServerSettings, worker: Worker) -> BatchHouse:
    return BatchHouse(TestClient(create_app(server_settings)))


def finish_jobs(worker: Worker, **fields: Any) -> int:
    """Complete every job that waits; returns how many there were."""
    waiting = [i for i in worker.jobs.live_ids() if worker.jobs.get(i).status is Status.QUEUED]
    for job_id in waiting:
        worker.redis.lrem(f"rq:queue:{worker.jobs.get(job_id).kind}", 1, job_id)
        worker.complete(job_id, **fields)
    return len(waiting)


def drive(house: BatchHouse, worker: Worker, batch_id: str, **fields: Any) -> dict[str, Any]:
    """Sweep and complete jobs until the batch has ended; returns it."""
    for _ in range(200):
        house.driver.sweep()
        finish_jobs(worker, **fields)
        batch = house.get(batch_id)
        if batch["status"] in ("completed", "failed", "cancelled", "expired"):
            return batch
    raise AssertionError(f"it has not ended: {batch}")


def test_videos(house: BatchHouse, worker: Worker) -> None:
    lines = video_lines(20)
    lines[7]["body"]["size"] = "1x1"
    lines[9]["body"] = {}
    batch_id = house.create(lines)
    assert house.get(batch_id)["status"] == "validating"
    batch = drive(house, worker, batch_id, video=FRAMES)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 20, "completed": 18, "failed": 2}
    outputs, errors = house.outcomes(batch_id), house.outcomes(batch_id, "error")
    assert outputs.keys() | errors.keys() == {line["custom_id"] for line in lines}
    line = outputs["line-3"]
    assert line["error"] is None
    assert line["response"]["status_code"] == 200
    video = line["response"]["body"]
    assert (video["status"], video["seed"], video["prompt"]) == ("completed", 3, "circle 3")
    assert house.api.get(f"/v1/videos/{video['id']}/content").content == FRAMES
    refused = errors["line-7"]["response"]
    assert refused["status_code"] == 400
    assert refused["body"]["error"]["param"] == "size"
    assert errors["line-9"]["response"]["body"]["error"]["param"] == "prompt"


def test_nothing_but_the_two_files_is_left(house: BatchHouse, worker: Worker) -> None:
    batch_id = house.create(video_lines(2))
    drive(house, worker, batch_id)
    assert worker.artifacts.list("batches/") == []
    assert list(worker.redis.scan_iter(match=f"univigu:batch:{batch_id}:*")) == []
    assert BatchStore(worker.redis).live_ids() == []
    assert house.driver.sweep() == 0
