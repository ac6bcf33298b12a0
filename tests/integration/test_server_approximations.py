"""Savings that may change a result: asked for by name, refused where useless, told in the job."""

import pytest
from fastapi.testclient import TestClient
from server_apps import CAPABILITIES, Worker, create_video

from contract.engine_status import publish_capabilities
from contract.records import Status
from contract.requests import Approximation, JobResult

FILES = {"video": ("clip.mp4", b"\0\0\0\x18ftypmp42" + bytes(64), "video/mp4")}


def refused(answer, param: str) -> str:
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["param"] == param
    return str(error["message"])


def test_jobs_are_exact_unless_asked(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api)
    assert worker.jobs.get(video_id).parsed_request().feature_cache_threshold is None
    assert api.get(f"/v1/videos/{video_id}").json()["approximations"] == []


def test_a_feature_cache_reaches_the_job_and_what_it_spared_the_client(
    api: TestClient, worker: Worker
) -> None:
    video_id = create_video(api, feature_cache_threshold=0.1)
    assert worker.jobs.get(video_id).parsed_request().feature_cache_threshold == 0.1
    spared = Approximation(name="feature_cache", setting=0.1, reused=6, of=20)
    result = JobResult(seed=0, approximations=[spared])
    worker.jobs.finish(video_id, worker.start(video_id), Status.COMPLETED, result=result)
    assert api.get(f"/v1/videos/{video_id}").json()["approximations"] == [spared.model_dump()]


@pytest.mark.parametrize("threshold", [0, -0.1, 1.5, "much"])
def test_a_threshold_is_a_share(api: TestClient, worker: Worker, threshold: object) -> None:
    body = {"prompt": "a red circle", "feature_cache_threshold": threshold}
    refused(api.post("/v1/videos", json=body), "feature_cache_threshold")


def test_an_interval_is_refused_where_one_look_is_exact(api: TestClient, worker: Worker) -> None:
    answer = api.post("/v1/captions", files=FILES, data={"video_refresh_interval": "4"})
    message = refused(answer, "video_refresh_interval")
    assert message.startswith("video_refresh_interval 4 is not offered")


def test_an_interval_reaches_the_job_where_each_step_would_look(
    api: TestClient, worker: Worker
) -> None:
    bidirectional = CAPABILITIES.model_copy(update={"has_video_refresh": True})
    publish_capabilities(worker.redis, bidirectional)
    answer = api.post("/v1/captions", files=FILES, data={"video_refresh_interval": "4"})
    request = worker.jobs.get(answer.json()["id"]).parsed_request()
    assert request.video_refresh_interval == 4
    below = api.post("/v1/captions", files=FILES, data={"video_refresh_interval": "0"})
    refused(below, "video_refresh_interval")
