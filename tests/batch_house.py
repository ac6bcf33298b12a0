"""Batches for tests: an app whose batches move only when told to, and files to make them of."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from server_apps import Worker

from contract.records import Status
from server.app import create_app
from server.batches.driver import BatchDriver
from server.settings import ServerSettings


def video_lines(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return requests for videos, `custom_id` being `line-0` and so on."""
    return [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/videos",
            "body": {"prompt": f"circle {number}", "seed": number, **fields},
        }
        for number in range(count)
    ]


def jsonl(lines: Iterable[Any]) -> bytes:
    """Return an input file; a line that is text is put in as it is."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return "".join(f"{text}\n" for text in texts).encode()


class BatchHouse:
    """One client of the API, and a driver that sweeps when asked."""

    def __init__(self, api: TestClient) -> None:
        self.api = api
        self.driver = BatchDriver(api.app.state.services)  # type: ignore[attr-defined]

    def keep(self, data: bytes) -> str:
        """Keep an input file; returns its id."""
        sent = {"file": ("in.jsonl", data)}
        response = self.api.post("/v1/files", files=sent, data={"purpose": "batch"})
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    def create(self, lines: Iterable[Any] | bytes, endpoint: str = "/v1/videos") -> str:
        """Start a batch; returns its id."""
        data = lines if isinstance(lines, bytes) else jsonl(lines)
        body = {
            "input_file_id": self.keep(data),
            "endpoint": endpoint,
            "completion_window": "24h",
        }
        response = self.api.post("/v1/batches", json=body)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    def get(self, batch_id: str) -> dict[str, Any]:
        """Return the batch object."""
        return dict(self.api.get(f"/v1/batches/{batch_id}").json())

    def outcomes(self, batch_id: str, name: str = "output") -> dict[str, dict[str, Any]]:
        """Return the lines of the output or error file by custom id; each must be there once."""
        file_id = self.get(batch_id)[f"{name}_file_id"]
        if file_id is None:
            return {}
        text = self.api.get(f"/v1/files/{file_id}/content").text
        lines = [json.loads(line) for line in text.splitlines()]
        found = {line["custom_id"]: line for line in lines}
        assert len(found) == len(lines)
        return found


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
