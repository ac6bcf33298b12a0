"""Batches whose drivers die, double or meet large inputs: every line is done once all the same."""

import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import redis
from batch_house import BatchHouse, jsonl, video_lines
from fastapi.testclient import TestClient
from server_apps import Worker
from server_process import ServerProcess
from worker_house import House, until

from cli.embedded import EmbeddedRedis
from contract.artifacts import ArtifactStore
from contract.batch_records import BatchRecord
from contract.batches import BatchStore
from contract.queues import QUEUES
from server.app import create_app
from server.batches.check import Findings, check_input
from server.batches.driver import BatchDriver
from server.services import Services
from server.settings import ServerSettings

ENDED = ("completed", "failed", "cancelled", "expired")


@pytest.fixture
def services(server_settings: ServerSettings) -> Iterator[Services]:
    services = Services.connect(server_settings)
    yield services
    services.close()


def do_jobs(worker: Worker) -> None:
    """Do what waits in the queues, as slots do: a ticket at a time."""
    for kind in QUEUES:
        while popped := worker.redis.lpop(f"rq:queue:{kind}"):
            attempt = worker.jobs.get(popped.decode()).attempt
            assert attempt == 0, "a line is done twice"
            worker.complete(popped.decode())


def check_done_once(house: BatchHouse, worker: Worker, batch_id: str, count: int) -> None:
    """Check that each line has one outcome, of one job that was done once."""
    batch = house.get(batch_id)
    assert batch["request_counts"] == {"total": count, "completed": count, "failed": 0}
    outcomes = house.outcomes(batch_id)
    assert outcomes.keys() == {f"line-{number}" for number in range(count)}
    jobs = [line["response"]["body"] for line in outcomes.values()]
    assert {job["attempt"] for job in jobs} == {1}
    listed = worker.jobs.list_ids("generate", 10_000, None, True)
    assert sorted(listed) == sorted(job["id"] for job in jobs)


class Died(BaseException):
    """The process is gone."""


class Dying(BatchStore):
    """Makes a number of changes, and dies before or after the next one."""

    def __init__(self, connection: Any, changes: int, after: bool) -> None:
        super().__init__(connection)
        self.changes, self.after = changes, after

    def _run(self, *args: Any) -> bool:
        self.changes -= 1
        if self.changes < 0 and not self.after:
            raise Died
        done = super()._run(*args)
        if self.changes < 0:
            raise Died
        return done


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("changes", [1, 2, 3])
def test_drivers_that_die_at_every_step_do_each_line_once(
    house: BatchHouse, worker: Worker, services: Services, changes: int, after: bool
) -> None:
    batch_id = house.create(video_lines(12))
    for _ in range(100):
        dying = Dying(services.redis, changes, after)
        try:
            BatchDriver(replace(services, batches=dying)).sweep()
        except Died:
            pass
        do_jobs(worker)
        if house.get(batch_id)["status"] in ENDED:
            break
    check_done_once(house, worker, batch_id, 12)
    assert worker.artifacts.list("batches/") == []


def test_drivers_without_a_lease_do_each_line_once(
    house: BatchHouse, worker: Worker, services: Services
) -> None:
    batch_id = house.create(video_lines(60))
    stop = threading.Event()

    def drive() -> None:
        driver = BatchDriver(services)
        while not stop.is_set():
            driver.drive(batch_id, repeat(None), 8)  # type: ignore[arg-type]

    threads = [threading.Thread(target=drive) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + 120
        while house.get(batch_id)["status"] not in ENDED:
            assert time.monotonic() < deadline
            do_jobs(worker)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    check_done_once(house, worker, batch_id, 60)


def test_one_driver_at_a_time_has_the_lease(house: BatchHouse, services: Services) -> None:
    from server.batches.lease import Lease

    batch_id = house.create(video_lines(1))
    with Lease(services.redis, batch_id) as held:
        assert held.is_held
        house.driver.sweep()
        assert house.get(batch_id)["status"] == "validating"
    house.driver.sweep()
    assert house.get(batch_id)["status"] == "in_progress"


@pytest.fixture
def server(server_settings: ServerSettings, worker: Worker) -> Iterator[ServerProcess]:
    server = ServerProcess(server_settings)
    yield server
    server.kill()


def test_a_server_killed_twice_repeats_no_finished_line(
    server: ServerProcess, house: BatchHouse, worker: Worker
) -> None:
    batch_id = house.create(video_lines(40))
    kills = [10, 25]
    deadline = time.monotonic() + 200
    while (batch := house.get(batch_id))["status"] not in ENDED:
        assert time.monotonic() < deadline, batch
        do_jobs(worker)
        if kills and batch["request_counts"]["completed"] >= kills[0]:
            server.kill()
            kills.pop(0)
            # the lease of the dead one ends by itself; waiting for that would only take long
            worker.redis.delete(f"univigu:batch-lease:{batch_id}")
            server.start()
        time.sleep(0.02)
    assert kills == []
    check_done_once(house, worker, batch_id, 40)


FAT_LINE = video_lines(1, user="x" * 10_000)[0]


def write_fat(path: Path, count: int) -> Path:
    """Write an input of about 10 KB a line."""
    with path.open("wb") as file:
        for number in range(count):
            file.write(jsonl([FAT_LINE | {"custom_id": f"line-{number}"}]))
    return path


def test_ten_thousand_lines_are_taken_without_the_server_growing(
    server: ServerProcess, worker: Worker, tmp_path: Path
) -> None:
    def take(count: int) -> int:
        """Have a batch checked; returns the most memory seen meanwhile, in bytes."""
        with write_fat(tmp_path / "in.jsonl", count).open("rb") as file:
            sent = {"files": {"file": ("in.jsonl", file)}, "data": {"purpose": "batch"}}
            file_id = httpx2.post(f"{server.url}/v1/files", **sent, timeout=120).json()["id"]
        body = {"input_file_id": file_id, "endpoint": "/v1/videos", "completion_window": "24h"}
        batch_url = f"{server.url}/v1/batches"
        batch = httpx2.post(batch_url, json=body, timeout=120).json()
        most, deadline = 0, time.monotonic() + 120
        while batch["status"] == "validating":
            assert time.monotonic() < deadline
            most = max(most, server.child.memory_info().rss)
            batch = httpx2.get(f"{batch_url}/{batch['id']}").json()
            time.sleep(0.01)
        assert (batch["status"], batch["request_counts"]["total"]) == ("in_progress", count)
        httpx2.post(f"{batch_url}/{batch['id']}/cancel")
        return most

    few = take(1_000)
    many = take(10_000)  # 100 MB
    assert many - few < 30e6, f"{(many - few) / 1e6:.0f} MB more"


def test_checking_an_input_holds_little_of_it(services: Services, tmp_path: Path) -> None:
    path = write_fat(tmp_path / "in.jsonl", 10_000)
    batch = BatchRecord(
        id="batch_1",
        endpoint="/v1/videos",
        input_file_id="file-1",
        size=path.stat().st_size,
        created_at=0,
        expires_at=0,
    )
    services.artifacts.put("batches/batch_1/input.jsonl", path, "application/octet-stream")
    findings = Findings()
    tracemalloc.start()
    for _ in check_input(services.artifacts, batch, findings):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert findings.total == 10_000
    assert findings.errors == []
    assert peak < 8e6 < batch.size / 10


def test_real_slots_do_the_lines(redis_url: str, tmp_path: Path) -> None:
    surroundings = House(redis_url, tmp_path, generate_slots=2, understand_slots=0)
    settings = ServerSettings(redis_url=redis_url, data_dir=tmp_path / "data")
    try:
        surroundings.start()
        with TestClient(create_app(settings)) as api:  # with the driver of its own
            house = BatchHouse(api)
            batch_id = house.create(video_lines(12, num_inference_steps=2))
            until(lambda: house.get(batch_id)["status"] == "completed", 120)
            outcomes = house.outcomes(batch_id)
            assert len(outcomes) == 12
            video = outcomes["line-7"]["response"]["body"]
            content = api.get(f"/v1/videos/{video['id']}/content")
            assert content.headers["content-type"] == "video/mp4"
    finally:
        surroundings.close()


def test_a_redis_that_is_killed_is_waited_for(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        settings = ServerSettings(redis_url=server.url, data_dir=tmp_path)
        connection = redis.Redis.from_url(server.url)
        worker = Worker(connection, ArtifactStore(settings.artifacts_url))
        worker.warm_up()
        with TestClient(create_app(settings)) as api:
            house = BatchHouse(api)
            batch_id = house.create(video_lines(12))
            until(lambda: worker.jobs.live_ids(), 60)
            psutil.Process(server.pid).kill()
            until(lambda: not server.is_alive())
            server.start()
            while house.get(batch_id)["status"] not in ENDED:
                do_jobs(worker)
            check_done_once(house, worker, batch_id, 12)
        connection.close()
