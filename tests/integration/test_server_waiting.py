"""Requests that wait for their job: long polls and the synchronous route."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest
from fastapi.testclient import TestClient
from openai import OpenAI
from server_apps import FRAMES, Worker, create_video

from contract.errors import ErrorInfo
from contract.records import Status

BODY = {"prompt": "a red circle", "seed": 5}


@contextmanager
def meanwhile(worker: Worker, act: Callable[[str], object]) -> Iterator[None]:
    """Do something with the first job that appears, in another thread."""

    def run() -> None:
        deadline = time.monotonic() + 20
        while not (found := worker.jobs.live_ids()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        act(found.pop())

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


def test_a_long_poll_ends_with_the_job(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api)
    with meanwhile(worker, lambda job_id: worker.complete(job_id, video=FRAMES)):
        response = api.get(f"/v1/videos/{video_id}", params={"wait": 30})
    assert response.json()["status"] == "completed"
    assert "retry-after" not in response.headers


def test_a_long_poll_ends_with_its_time(api: TestClient, worker: Worker) -> None:
    response = api.post("/v1/captions", files={"video": ("clip.mp4", b"frames")})
    response = api.get(f"/v1/captions/{response.json()['id']}", params={"wait": 0.05})
    assert response.json()["status"] == "queued"
    assert (response.headers["retry-after"], response.headers["openai-poll-after-ms"]) == (
        "1",
        "500",
    )


def test_a_long_poll_of_a_job_that_is_deleted_is_404(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api)
    with meanwhile(worker, worker.jobs.delete):
        assert api.get(f"/v1/videos/{video_id}?wait=30").status_code == 404


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "x"])
def test_a_wait_beyond_the_cap_is_refused(api: TestClient, worker: Worker, wait: str) -> None:
    response = api.get(f"/v1/videos/{create_video(api)}?wait={wait}")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "wait"


def test_long_polls_hold_no_threads(live_url: str, worker: Worker) -> None:
    with httpx2.Client(base_url=live_url, timeout=60) as client:
        video_id = client.post("/v1/videos", json=BODY).json()["id"]
        path = f"/v1/videos/{video_id}?wait=30"
        waiters = [threading.Thread(target=client.get, args=(path,)) for _ in range(45)]
        for waiter in waiters:
            waiter.start()
        assert client.get("/v1/videos", timeout=20).status_code == 200
        worker.complete(video_id, video=FRAMES)
        for waiter in waiters:
            waiter.join(40)
            assert not waiter.is_alive()


def test_sync_answers_with_the_video_and_its_facts(api: TestClient, worker: Worker) -> None:
    with meanwhile(worker, lambda job_id: worker.complete(job_id, video=FRAMES)):
        response = api.post("/v1/videos/sync", data=BODY)
    assert (response.status_code, response.content) == (200, FRAMES)
    assert response.headers["content-type"] == "video/mp4"
    assert (response.headers["x-model"], response.headers["x-seed"]) == ("univigu", "5")
    assert float(response.headers["x-inference-time-s"]) >= 0
    assert response.headers["x-stage-durations"] == "{}"
    again = api.get(f"/v1/videos/{response.headers['x-job-id']}/content")
    assert again.content == FRAMES


def test_sync_falls_back_to_the_job(api: TestClient, worker: Worker) -> None:
    response = api.post("/v1/videos/sync?wait=0", json=BODY)
    assert response.status_code == 202
    assert api.get(response.headers["location"]).json() == response.json()
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("code", "status"), [("prompt_too_long", 400), ("out_of_memory", 500), ("worker_lost", 500)]
)
def test_a_job_that_fails_is_an_error_of_the_sync_request(
    api: TestClient, worker: Worker, code: str, status: int
) -> None:
    error = ErrorInfo(code=code, message="it did not work", param="prompt")

    def fail(job_id: str) -> None:
        worker.jobs.finish(job_id, worker.start(job_id), Status.FAILED, error=error)

    with meanwhile(worker, fail):
        response = api.post("/v1/videos/sync", json=BODY)
    assert response.status_code == status
    found = response.json()["error"]
    assert (found["code"], found["message"], found["param"]) == (code, "it did not work", "prompt")
    assert response.headers["x-should-retry"] == "false"


def test_a_job_that_is_cancelled_is_an_error_of_the_sync_request(
    api: TestClient, worker: Worker
) -> None:
    with meanwhile(worker, worker.jobs.cancel):
        response = api.post("/v1/videos/sync", json=BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "cancelled")


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
def test_the_stock_client_creates_and_polls(live_url: str, worker: Worker) -> None:
    with (
        OpenAI(base_url=f"{live_url}/v1", api_key="unused") as client,
        meanwhile(worker, lambda job_id: worker.complete(job_id, video=FRAMES)),
    ):
        assert client.videos.create_and_poll(prompt="a red circle").status == "completed"
