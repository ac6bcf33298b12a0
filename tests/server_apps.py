"""The HTTP process for tests: the real app on a real Redis and a local artifact store.

What a worker would do is done by the tests themselves, through the job store that workers use.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import uvicorn
from fastapi.testclient import TestClient

from contract.artifacts import ArtifactStore, job_prefix, preview_key
from contract.engine_status import beat, publish_capabilities
from contract.errors import ErrorInfo
from contract.jobs import JobStore
from contract.records import Status
from contract.requests import Capabilities, JobResult, Segment
from server.app import create_app
from server.settings import ServerSettings

CAPABILITIES = Capabilities(
    checkpoint="moving-shapes@0123abcd",
    sizes=[(64, 96), (64, 64)],
    max_num_frames=17,
    default_num_frames=9,
    fps=8,
    default_num_inference_steps=20,
    default_understand_steps=12,
    max_num_inference_steps=100,
    default_guidance_scale=4.5,
    temporal_compression=4,
    max_prompt_tokens=64,
)


FRAMES = bytes(range(256)) * 8


class Worker:
    """Moves jobs the way a slot does, with real records and real artifacts."""

    def __init__(self, connection: redis.Redis, artifacts: ArtifactStore) -> None:
        self.redis = connection
        self.jobs = JobStore(connection)
        self.artifacts = artifacts

    def warm_up(self) -> None:
        """Publish capabilities and say that the engine is warm."""
        publish_capabilities(self.redis, CAPABILITIES)
        beat(self.redis, "test-worker")

    def start(self, job_id: str) -> int:
        """Claim a job; returns the attempt."""
        return self.jobs.claim(job_id, "test-worker")

    def preview(self, job_id: str, attempt: int, step: int, picture: str) -> dict[str, Any]:
        """Report the preview of one of four steps; returns what the log says of it."""
        key = preview_key(job_id, attempt, step)
        self.artifacts.put(key, picture.encode(), "image/jpeg")
        data = {"step": step, "of": 4, "caption": "a red", "frame": key}
        self.jobs.report(job_id, attempt, "preview", data)
        return data

    def complete(
        self,
        job_id: str,
        text: str | None = "a red circle moves left",
        seconds: float | None = None,
        segments: Sequence[Segment] = (),
        **files: bytes,
    ) -> None:
        """Claim a job and finish it with artifacts, e.g. `video=b"..."`.

        `seconds` is how long the input video plays.
        """
        attempt = self.start(job_id)
        suffixes = {"video": "mp4", "thumbnail": "jpg", "spritesheet": "jpg"}
        keys = {name: f"{job_prefix(job_id, attempt)}{name}.{suffixes[name]}" for name in files}
        for name, data in files.items():
            self.artifacts.put(keys[name], data, "application/octet-stream")
        request = self.jobs.get(job_id).parsed_request()
        result = JobResult(
            text=text,
            segments=list(segments),
            artifacts=keys,
            seed=request.seed,
            input_seconds=seconds,
        )
        assert self.jobs.finish(job_id, attempt, Status.COMPLETED, result=result)


def create_video(api: TestClient, **fields: Any) -> str:
    """Start a video job; returns its id."""
    response = api.post("/v1/videos", json={"prompt": "a red circle", **fields})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


@pytest.fixture
def server_settings(redis_url: str, tmp_path: Path) -> ServerSettings:
    """Settings of a server without keys, on an empty Redis and an empty folder."""
    return ServerSettings(redis_url=redis_url, data_dir=tmp_path, port=0)


@pytest.fixture
def worker(server_settings: ServerSettings) -> Iterator[Worker]:
    """A warm worker of that server."""
    with redis.Redis.from_url(server_settings.redis_url) as connection:
        stand_in = Worker(connection, ArtifactStore(server_settings.artifacts_url))
        stand_in.warm_up()
        yield stand_in


@pytest.fixture
def answering(worker: Worker) -> Iterator[Worker]:
    """A worker that answers every caption job; one whose question is `fail` fails."""
    stop = threading.Event()

    def answer() -> None:
        while not stop.wait(0.02):
            for job_id in worker.jobs.live_ids():
                request = worker.jobs.get(job_id).parsed_request()
                if request.instruction == "fail":
                    error = ErrorInfo(code="invalid_video", message="no video", param="video")
                    attempt = worker.start(job_id)
                    worker.jobs.finish(job_id, attempt, Status.FAILED, error=error)
                else:
                    worker.complete(job_id, text="a rötlicher circle")

    thread = threading.Thread(target=answer)
    thread.start()
    yield worker
    stop.set()
    thread.join()


@pytest.fixture
def api(server_settings: ServerSettings) -> Iterator[TestClient]:
    """A client of the app in this process."""
    with TestClient(create_app(server_settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def completed_video(api: TestClient, worker: Worker) -> str:
    """Id of a completed job with seed 5, `FRAMES` as its video, and a thumbnail."""
    video_id = create_video(api, seed=5)
    worker.complete(video_id, video=FRAMES, thumbnail=b"jpeg")
    return video_id


@contextmanager
def two_accounts(settings: ServerSettings, **limits: int) -> Iterator[list[TestClient]]:
    """Give a client each to two accounts, at a replica each: limits and ids are Redis's."""
    keys = "first", "second"
    settings = ServerSettings(**dict(settings) | {"api_keys": keys} | limits)
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                TestClient(create_app(settings), headers={"authorization": f"Bearer {key}"})
            )
            for key in keys
        ]


@contextmanager
def serving(settings: ServerSettings) -> Iterator[str]:
    """Run the app under a real uvicorn; gives its base URL."""
    app = create_app(settings)
    config = uvicorn.Config(
        app, port=0, log_config=None, loop="uvloop", http="httptools", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline, "uvicorn did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def live_url(server_settings: ServerSettings) -> Iterator[str]:
    """Base URL of the app under a real uvicorn."""
    with serving(server_settings) as url:
        yield url
