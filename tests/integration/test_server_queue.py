"""How busy the service is: for clients, in the job objects, and for Prometheus."""

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue
from rq.serializers import JSONSerializer
from server_apps import FRAMES, Worker, create_video

from contract.engine_status import EngineMemory, beat
from contract.errors import ErrorInfo
from contract.records import Status
from contract.requests import JobResult


def take(worker: Worker, job_id: str) -> int:
    """Take a job out of its queue under a lease, as a slot does; returns the attempt."""
    queue = Queue("generate", connection=worker.redis, serializer=JSONSerializer)
    worker.redis.lrem(queue.key, 1, job_id)
    worker.redis.zadd(queue.started_job_registry.key, {f"{job_id}:x": 2e10})
    return worker.start(job_id)


def ran_for(worker: Worker, job_id: str, seconds: float) -> None:
    """Complete a job as if it had run that long."""
    attempt = take(worker, job_id)
    key = f"univigu:job:{job_id}"
    worker.redis.hincrbyfloat(key, "started_at", -seconds)
    worker.jobs.finish(job_id, attempt, Status.COMPLETED, result=JobResult(seed=1))
    worker.redis.delete("rq:wip:generate")


def samples(api: TestClient) -> dict[tuple[str, frozenset[str]], float]:
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_waiting_jobs_know_their_place(api: TestClient, worker: Worker) -> None:
    ids = [create_video(api) for _ in range(3)]
    places = [api.get(f"/v1/videos/{video_id}").json()["queue_position"] for video_id in ids]
    assert places == [1, 2, 3]
    take(worker, ids[0])
    page = api.get("/v1/videos?order=asc").json()["data"]
    assert [video["queue_position"] for video in page] == [None, 1, 2]


@pytest.mark.parametrize("gone_by", ["cancel", "delete"])
def test_nobody_waits_behind_a_job_that_was_given_up(
    api: TestClient, worker: Worker, gone_by: str
) -> None:
    first, second = (create_video(api) for _ in range(2))
    if gone_by == "cancel":
        assert api.post(f"/v1/videos/{first}/cancel").json()["status"] == "cancelled"
    else:
        api.delete(f"/v1/videos/{first}")
    assert api.get(f"/v1/videos/{second}").json()["queue_position"] == 1
    assert api.get("/v1/queue").json()["data"][0]["waiting"] == 1
    assert [*worker.redis.scan_iter(f"rq:job:{first}")] == []


def test_a_cancel_leaves_the_ticket_that_a_slot_holds(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api)
    attempt = take(worker, video_id)
    api.post(f"/v1/videos/{video_id}/cancel")
    worker.jobs.finish(video_id, attempt, Status.CANCELLED)
    api.post(f"/v1/videos/{video_id}/cancel")
    assert worker.redis.exists(f"rq:job:{video_id}")


def test_the_end_is_estimated_from_what_jobs_took_so_far(api: TestClient, worker: Worker) -> None:
    first = create_video(api)
    assert api.get(f"/v1/videos/{first}").json()["eta_seconds"] is None
    ran_for(worker, first, 100)
    assert api.get(f"/v1/videos/{first}").json()["eta_seconds"] is None
    running, second, third = (create_video(api) for _ in range(3))
    take(worker, running)
    etas = [
        api.get(f"/v1/videos/{video_id}").json()["eta_seconds"]
        for video_id in (running, second, third)
    ]
    assert etas == [pytest.approx(100, abs=3), 200, 300]


def test_the_queue_is_shown(api: TestClient, worker: Worker) -> None:
    ran_for(worker, create_video(api), 10)
    running, _ = create_video(api), create_video(api)
    take(worker, running)
    generate, understand = api.get("/v1/queue").json()["data"]
    assert generate.pop("mean_seconds") == pytest.approx(10, abs=1)
    assert generate == {"kind": "generate", "waiting": 1, "running": 1}
    nothing = {"kind": "understand", "waiting": 0, "running": 0, "mean_seconds": None}
    assert understand == nothing


def test_prometheus_reads_depths_ends_and_times(api: TestClient, worker: Worker) -> None:
    failed, done, _ = (create_video(api) for _ in range(3))
    error = ErrorInfo(code="out_of_memory", message="too large")
    worker.jobs.finish(failed, take(worker, failed), Status.FAILED, error=error)
    result = JobResult(seed=1, stage_durations={"denoise": 4.0})
    worker.jobs.finish(done, take(worker, done), Status.COMPLETED, result=result)
    found = samples(api)

    def value(name: str, *labels: str) -> float:
        return found[f"univigu_{name}", frozenset(labels)]

    assert value("queue_jobs", "generate", "waiting") == 1
    assert value("queue_jobs", "understand", "waiting") == 0
    assert value("jobs_ended_total", "generate", "failed", "out_of_memory") == 1
    assert value("jobs_ended_total", "generate", "completed", "") == 1
    assert value("job_wait_seconds_count", "generate") == 2
    assert value("job_run_seconds_count", "generate") == 1
    assert value("job_stage_seconds_sum", "generate", "denoise") == 4
    assert value("job_stage_seconds_bucket", "generate", "denoise", "5") == 1
    assert value("job_stage_seconds_bucket", "generate", "denoise", "2") == 0


def test_requests_are_counted_by_route_and_not_by_path(
    api: TestClient, completed_video: str
) -> None:
    api.get(f"/v1/videos/{completed_video}")
    api.get("/v1/videos/video_unknown")
    api.get("/nowhere")
    found = samples(api)
    route, name = "/v1/videos/{video_id}", "univigu_http_requests_total"
    assert found[name, frozenset(("GET", route, "200"))] == 1
    assert found[name, frozenset(("GET", route, "404"))] == 1
    assert found[name, frozenset(("GET", "none", "404"))] == 1
    assert found[name, frozenset(("POST", "/v1/videos", "200"))] == 1
    assert not any(completed_video in label for _, labels in found for label in labels)


def test_a_completed_job_waits_for_nothing(api: TestClient, completed_video: str) -> None:
    video = api.get(f"/v1/videos/{completed_video}").json()
    assert (video["queue_position"], video["eta_seconds"]) == (None, None)
    assert api.get(video["urls"]["video"]).content == FRAMES


def test_prometheus_reads_the_memory_of_each_engine(api: TestClient, worker: Worker) -> None:
    beat(worker.redis, "gpu-0", EngineMemory(used=3 << 30, peak=5 << 30, budget=7 << 30))
    found = samples(api)
    of_engine = {name: value for (name, labels), value in found.items() if "gpu-0" in labels}
    assert of_engine == {
        "univigu_engine_memory_used_bytes": 3 << 30,
        "univigu_engine_memory_peak_bytes": 5 << 30,
        "univigu_engine_memory_budget_bytes": 7 << 30,
    }
    assert not [labels for _, labels in found if "test-worker" in labels]  # it tells of none
