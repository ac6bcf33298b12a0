"""A job is one trace, from the HTTP request through its slot to the engine: real processes."""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from server_process import ServerProcess
from trace_collectors import Collector, Received, Trace, collecting
from video_files import numbered_video
from worker_house import House

from cli.embedded import EmbeddedRedis
from contract.records import Status
from server.settings import ServerSettings

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Service:
    """An API and a worker around the stand-in engine."""

    api: ServerProcess
    house: House

    def post(self, path: str, trace: Trace, **content: Any) -> str:
        """Create a job; returns its id."""
        url = f"{self.api.url}/v1/{path}"
        answer = httpx2.post(url, headers=trace.headers, timeout=60, **content)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def video(self, trace: Trace, **fields: Any) -> str:
        body = {"prompt": "a red ball", "num_inference_steps": 4} | fields
        return self.post("videos", trace, json=body)


@contextmanager
def serving(redis_url: str, folder: Path, variables: dict[str, str]) -> Iterator[Service]:
    options = {"generate_slots": 1, "understand_slots": 1, "lease_seconds": 30}
    settings = ServerSettings(redis_url=redis_url, data_dir=folder)
    with closing(House(redis_url, folder, data_dir=folder, **options)) as house:
        house.redis.flushdb()
        house.environment |= variables
        house.start()
        api = ServerProcess(settings, **variables)
        try:
            yield Service(api, house)
        finally:
            api.kill()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def service(
    redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Service]:
    database = redis_server.url.removesuffix("/0") + "/11"
    with serving(database, tmp_path_factory.mktemp("s"), collector.variables) as made:
        yield made


@pytest.fixture
def trace(collector: Collector) -> Trace:
    return Trace(collector, secrets.token_hex(16), secrets.token_hex(8))


def line_of_descent(trace: Trace, name: str, kind: str, attempts: int = 1) -> list[Received]:
    """Return request and send of a job, then its attempts, each the child of the one before."""
    (request,), (send,) = trace.named(f"POST /v1/{name}"), trace.named(f"send {kind}")
    processes = trace.named(f"process {kind}", attempts)
    assert (request.parent_id, send.parent_id) == (trace.caller_id, request.span_id)
    assert {process.parent_id for process in processes} == {send.span_id}
    return [request, send, *processes]


def test_a_video_is_one_trace_through_api_slot_and_engine(service: Service, trace: Trace) -> None:
    service.house.completed(service.video(trace))
    spans = line_of_descent(trace, "videos", "generate") + trace.named("engine generate")
    *_, process, engine = spans
    assert engine.parent_id == process.span_id
    assert trace.children(process) == {"engine generate", "deliver"}
    assert [(span.service, span.kind) for span in spans] == [
        ("univigu-api", "SERVER"),
        ("univigu-api", "PRODUCER"),
        ("univigu-slot", "CONSUMER"),
        ("univigu-engine", "SERVER"),
    ]
    assert not any(span.is_error for span in trace.spans)


def test_spans_say_which_job_they_are_of_and_not_what_its_owner_wrote(
    service: Service, trace: Trace
) -> None:
    video_id = service.video(trace)
    service.house.completed(video_id)
    request, send, process = line_of_descent(trace, "videos", "generate")
    (engine,) = trace.named("engine generate")
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.response.header.x-request-id"][0].startswith("req_")
    assert send.attributes["univigu.job.id"] == video_id
    job = {"univigu.job.id": video_id, "univigu.job.attempt": 1, "univigu.job.mode": "joint"}
    assert job.items() <= process.attributes.items()
    assert job.items() <= engine.attributes.items()
    assert process.attributes["univigu.job.status"] == Status.COMPLETED
    assert 0 < process.attributes["univigu.job.wait_seconds"] < 200
    assert engine.resource["univigu.checkpoint"] == "stand-in@0"
    assert "red ball" not in repr(trace.spans)


def test_a_caption_is_traced_with_the_reading_of_its_input(
    service: Service, trace: Trace, tmp_path: Path
) -> None:
    video = numbered_video(tmp_path / "in.mp4", count=9).read_bytes()
    service.house.completed(service.post("captions", trace, files={"video": video}))
    *_, process = line_of_descent(trace, "captions", "understand")
    (engine,) = trace.named("engine understand")
    assert trace.children(process) == {"read", engine.name, "deliver"}
    assert process.attributes["univigu.job.mode"] == "understand"


def test_each_attempt_is_a_span_and_one_that_lost_its_engine_an_error(
    service: Service, trace: Trace
) -> None:
    video_id = service.video(trace, num_inference_steps=60)
    service.house.running(video_id, step=2)
    service.house.child("stand_in_engine").kill()
    service.house.ended(video_id, 120)
    *_, lost, done = line_of_descent(trace, "videos", "generate", attempts=2)
    assert (lost.is_error, lost.attributes["error.type"]) == (True, "worker_lost")
    assert lost.attributes["univigu.job.status"] == Status.QUEUED
    assert (done.is_error, done.attributes["univigu.job.status"]) == (False, Status.COMPLETED)
    assert [span.attributes["univigu.job.attempt"] for span in (lost, done)] == [1, 2]
    assert "univigu.job.wait_seconds" not in done.attributes
    (engine,) = trace.named("engine generate")
    assert engine.parent_id == done.span_id, "the dead engine has sent nothing"


def test_a_refused_job_is_an_error_with_the_code_that_its_owner_reads(
    service: Service, trace: Trace
) -> None:
    assert service.house.ended(service.video(trace, prompt="refuse")).status is Status.FAILED
    for span in trace.named("process generate") + trace.named("engine generate"):
        assert (span.is_error, span.attributes["error.type"]) == (True, "invalid_request")


def test_a_cancelled_job_is_no_error(service: Service, trace: Trace) -> None:
    video_id = service.video(trace, num_inference_steps=1000)
    service.house.running(video_id)
    httpx2.post(f"{service.api.url}/v1/videos/{video_id}/cancel", timeout=60)
    service.house.ended(video_id)
    (process,), (engine,) = trace.named("process generate"), trace.named("engine generate")
    assert process.attributes["univigu.job.status"] == Status.CANCELLED
    assert engine.attributes["univigu.job.dropped"] is True
    assert not any(span.is_error for span in (process, engine))


def test_probes_are_not_traced(service: Service, trace: Trace) -> None:
    for path in ("healthz", "readyz", "metrics", "v1/queue"):
        httpx2.get(f"{service.api.url}/{path}", headers=trace.headers, timeout=60)
    trace.named("GET /v1/queue")
    assert len(trace.spans) == 1


def test_a_collector_that_is_not_there_harms_no_job(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    nobody = Collector("http://127.0.0.1:9")
    trace = Trace(nobody, secrets.token_hex(16), secrets.token_hex(8))
    database = redis_server.url.removesuffix("/0") + "/12"
    with serving(database, tmp_path, nobody.variables) as service:
        record = service.house.completed(service.video(trace))
        assert record.traceparent.split("-")[1] == trace.trace_id
        assert service.house.stop() == 0
