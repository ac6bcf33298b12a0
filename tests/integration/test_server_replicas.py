"""Two HTTP processes on one Redis and one store: either answers for what the other has begun."""

import json
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
from server_apps import FRAMES, Worker
from server_process import ServerProcess

from server.settings import ServerSettings

BODY = {"prompt": "a red circle", "seed": 5}
PATIENCE = 90.0  # a lease of a killed process ends after 30

Pair = tuple[httpx2.Client, httpx2.Client]


@pytest.fixture
def processes(server_settings: ServerSettings) -> Iterator[list[ServerProcess]]:
    processes = [ServerProcess(server_settings) for _ in range(2)]
    yield processes
    for process in processes:
        process.kill()


@pytest.fixture
def pair(processes: list[ServerProcess], worker: Worker) -> Iterator[Pair]:
    with (
        httpx2.Client(base_url=processes[0].url, timeout=PATIENCE) as one,
        httpx2.Client(base_url=processes[1].url, timeout=PATIENCE) as other,
    ):
        yield one, other


def create(client: httpx2.Client, **headers: str) -> str:
    answer = client.post("/v1/videos", json=BODY, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def begin_batch(client: httpx2.Client, lines: int) -> str:
    requests = [
        {"custom_id": str(number), "method": "POST", "url": "/v1/videos", "body": BODY}
        for number in range(lines)
    ]
    data = "\n".join(json.dumps(request) for request in requests).encode()
    file = client.post(
        "/v1/files", data={"purpose": "batch"}, files={"file": ("lines.jsonl", data)}
    )
    assert file.status_code == 200, file.text
    fields = {"endpoint": "/v1/videos", "completion_window": "24h"}
    batch = client.post("/v1/batches", json=fields | {"input_file_id": file.json()["id"]})
    assert batch.status_code == 200, batch.text
    return str(batch.json()["id"])


def test_a_job_of_one_is_polled_followed_and_downloaded_at_the_other(
    pair: Pair, worker: Worker
) -> None:
    one, other = pair
    video_id = create(one)
    assert other.get(f"/v1/videos/{video_id}").json() == one.get(f"/v1/videos/{video_id}").json()
    assert [job["id"] for job in other.get("/v1/videos").json()["data"]] == [video_id]
    seen: list[str] = []
    polled: list[str] = []

    def follow() -> None:
        with other.stream("GET", f"/v1/videos/{video_id}/events") as stream:
            names = (line for line in stream.iter_lines() if line.startswith("event: "))
            seen.extend(name.removeprefix("event: ") for name in names)

    def wait() -> None:
        polled.append(other.get(f"/v1/videos/{video_id}?wait=60").json()["status"])

    waiters = [threading.Thread(target=act) for act in (follow, wait)]
    for waiter in waiters:
        waiter.start()
    worker.complete(video_id, video=FRAMES)
    for waiter in waiters:
        waiter.join(PATIENCE)
        assert not waiter.is_alive()
    assert (seen[0], seen[-1], polled) == ("queued", "completed", ["completed"])
    content = f"/v1/videos/{video_id}/content"
    assert other.get(content).content == one.get(content).content == FRAMES


def test_a_job_of_one_is_cancelled_and_deleted_at_the_other(pair: Pair, worker: Worker) -> None:
    one, other = pair
    waiting, running = create(one), create(one)
    attempt = worker.start(running)
    assert other.post(f"/v1/videos/{waiting}/cancel").json()["status"] == "cancelled"
    assert one.get(f"/v1/videos/{waiting}").json()["status"] == "cancelled"
    assert other.post(f"/v1/videos/{running}/cancel").json()["cancel_requested_at"]
    shown = one.get(f"/v1/videos/{running}").json()
    assert (shown["status"], shown["cancel_requested_at"] is None) == ("in_progress", False)
    assert worker.jobs.progress(running, attempt, "denoise", 1, 4) == "cancel_requested"
    assert other.delete(f"/v1/videos/{waiting}").json()["deleted"]
    assert one.get(f"/v1/videos/{waiting}").status_code == 404


def test_a_request_repeated_at_the_other_makes_no_second_job(pair: Pair, worker: Worker) -> None:
    one, other = pair
    first = create(one, **{"Idempotency-Key": "k"})
    assert create(other, **{"Idempotency-Key": "k"}) == first
    differing = other.post("/v1/videos", json=BODY | {"seed": 6}, headers={"Idempotency-Key": "k"})
    assert differing.status_code == 422
    assert worker.jobs.live_ids() == {first}


def test_requests_of_one_key_at_both_at_once_make_one_job(pair: Pair, worker: Worker) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda c=client: found.append(create(c, **{"Idempotency-Key": "k"}))
        )
        for client in pair * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == len(threads)
    assert worker.jobs.live_ids() == set(found)
    assert len(set(found)) == 1


def test_a_batch_of_one_is_listed_and_cancelled_at_the_other(pair: Pair, worker: Worker) -> None:
    one, other = pair
    batch_id = begin_batch(one, 1)
    assert [batch["id"] for batch in other.get("/v1/batches").json()["data"]] == [batch_id]
    assert other.post(f"/v1/batches/{batch_id}/cancel").json()["status"] in (
        "cancelling",
        "cancelled",
    )
    shown = one.get(f"/v1/batches/{batch_id}").json()
    assert shown["status"] in ("cancelling", "cancelled")


def test_the_other_goes_on_when_one_is_killed(
    processes: list[ServerProcess], pair: Pair, worker: Worker
) -> None:
    one, other = pair
    key = {"Idempotency-Key": "k"}
    video_id, batch_id = create(one, **key), begin_batch(one, 3)
    with one.stream("GET", f"/v1/videos/{video_id}/events") as stream:
        next(stream.iter_lines())
        processes[0].kill()
    assert create(other, **key) == video_id  # as a client tries again
    deadline = time.monotonic() + PATIENCE
    while other.get(f"/v1/batches/{batch_id}").json()["status"] != "completed":
        assert time.monotonic() < deadline
        for job_id in worker.jobs.live_ids():
            worker.complete(job_id, video=FRAMES)
        time.sleep(0.02)
    counts = other.get(f"/v1/batches/{batch_id}").json()["request_counts"]
    assert counts == {"total": 3, "completed": 3, "failed": 0}
    assert other.get(f"/v1/videos/{video_id}/content").content == FRAMES
