"""A job is one trace, from the HTTP request through its slot to the engine: real processes."""

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import httpx2
import pytest
from server_process import ServerProcess
from trace_collectors import Collector, Received
from video_files import numbered_video
from worker_house import House

from contract.records import Status
from server.settings import ServerSettings

pytestmark = pytest.mark.timeout(240)

TRACE_ID, CALLER_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE_ID}-{CALLER_ID}-01"}


@pytest.fixture
def service(
    server_settings: ServerSettings, tmp_path, collector: Collector
) -> Iterator[SimpleNamespace]:
    """An API and a worker that send their spans to the collector."""
    yield from _serve(server_settings, tmp_path, collector.variables)


def _serve(settings, folder, variables) -> Iterator[SimpleNamespace]:
    options = {"generate_slots": 1, "understand_slots": 1, "lease_seconds": 30}
    with closing(House(settings.redis_url, folder, data_dir=folder, **options)) as house:
        house.environment |= variables
        house.start()
        api = ServerProcess(settings, **variables)
        try:
            yield SimpleNamespace(url=api.url, api=api, house=house)
        finally:
            api.kill()


def create(service, **fields) -> str:
    body = {"prompt": "a red ball", "num_inference_steps": 4} | fields
    answer = httpx2.post(f"{service.url}/v1/videos", json=body, headers=CALLER, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def whole(collector: Collector, name: str, attempts: int = 1) -> list[Received]:
    """Return request and send of the one job, then its attempts; they are one line of descent."""
    (request,) = collector.named(f"POST /v1/{name}")
    kind = {"videos": "generate", "captions": "understand"}[name]
    (send,) = collector.named(f"send {kind}")
    processes = collector.named(f"process {kind}", attempts)
    assert (request.parent_id, send.parent_id) == (CALLER_ID, request.span_id)
    assert {process.parent_id for process in processes} == {send.span_id}
    assert {span.trace_id for span in collector.spans} == {TRACE_ID}
    return [request, send, *processes]


def test_a_video_is_one_trace_through_api_slot_and_engine(service, collector: Collector) -> None:
    video_id = create(service)
    service.house.completed(video_id)
    request, send, process = whole(collector, "videos")
    (engine,) = collector.named("engine generate")
    spans = [request, send, process, engine]
    assert [span.kind for span in spans] == ["SERVER", "PRODUCER", "CONSUMER", "SERVER"]
    assert [span.service for span in spans] == [
        "univigu-api",
        "univigu-api",
        "univigu-slot",
        "univigu-engine",
    ]
    assert engine.parent_id == process.span_id
    assert set(collector.children(process)) == {"engine generate", "deliver"}
    assert not any(span.is_error for span in collector.spans)

    assert request.attributes["http.response.status_code"] == 200
    assert send.attributes["univigu.job.id"] == video_id
    job = {"univigu.job.id": video_id, "univigu.job.attempt": 1, "univigu.job.mode": "joint"}
    assert job.items() <= process.attributes.items()
    assert job.items() <= engine.attributes.items()
    assert process.attributes["univigu.job.status"] == Status.COMPLETED
    assert 0 < process.attributes["univigu.job.wait_seconds"] < 60
    assert engine.resource["univigu.checkpoint"] == "stand-in@0"
    assert "a red ball" not in repr(collector.spans)


def test_what_the_engine_did_follows_on_each_other_without_gaps(service, collector) -> None:
    service.house.completed(create(service, num_inference_steps=5))
    (engine,) = collector.named("engine generate")
    (wait,), (denoise,) = collector.named("wait"), collector.named("denoise")
    assert {wait.parent_id, denoise.parent_id} == {engine.span_id}
    assert engine.start <= wait.start <= wait.end == denoise.start < denoise.end <= engine.end
    assert denoise.attributes == {"univigu.steps": 5}


def test_a_caption_is_traced_with_the_reading_of_its_input(service, collector, tmp_path) -> None:
    video = numbered_video(tmp_path / "in.mp4", count=9)
    with video.open("rb") as file:
        answer = httpx2.post(
            f"{service.url}/v1/captions", files={"video": file}, headers=CALLER, timeout=60
        )
    service.house.completed(answer.json()["id"])
    *_, process = whole(collector, "captions")
    assert set(collector.children(process)) == {"read", "engine understand", "deliver"}
    assert process.attributes["univigu.job.mode"] == "understand"


def test_each_attempt_is_a_span_and_the_one_that_lost_its_engine_an_error(
    service, collector
) -> None:
    video_id = create(service, num_inference_steps=60)
    service.house.running(video_id, step=2)
    service.house.child("stand_in_engine").kill()
    service.house.ended(video_id, 120)
    *_, lost, done = whole(collector, "videos", attempts=2)
    assert (lost.is_error, lost.attributes["error.type"]) == (True, "worker_lost")
    assert lost.attributes["univigu.job.status"] == Status.QUEUED
    assert (done.is_error, done.attributes["univigu.job.status"]) == (False, Status.COMPLETED)
    assert [span.attributes["univigu.job.attempt"] for span in (lost, done)] == [1, 2]
    assert "univigu.job.wait_seconds" not in done.attributes
    (engine,) = collector.named("engine generate")
    assert engine.parent_id == done.span_id, "the dead engine has sent nothing"


def test_a_refused_job_is_an_error_with_the_code_that_its_owner_reads(service, collector) -> None:
    assert service.house.ended(create(service, prompt="refuse")).status is Status.FAILED
    *_, process = whole(collector, "videos")
    (engine,) = collector.named("engine generate")
    for span in (process, engine):
        assert (span.is_error, span.attributes["error.type"]) == (True, "invalid_request")


def test_a_cancelled_job_is_no_error(service, collector) -> None:
    video_id = create(service, num_inference_steps=1000)
    service.house.running(video_id)
    httpx2.post(f"{service.url}/v1/videos/{video_id}/cancel")
    service.house.ended(video_id)
    (process,), (engine,) = collector.named("process generate"), collector.named("engine generate")
    assert process.attributes["univigu.job.status"] == Status.CANCELLED
    assert engine.attributes["univigu.job.dropped"] is True
    assert not any(span.is_error for span in (process, engine))


def test_a_collector_that_is_not_there_harms_no_job(server_settings, tmp_path) -> None:
    nobody = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    for service in _serve(server_settings, tmp_path, nobody):
        service.house.completed(create(service))
        assert service.house.jobs.get(create(service)).traceparent.split("-")[1] == TRACE_ID
        assert service.house.stop() == 0
