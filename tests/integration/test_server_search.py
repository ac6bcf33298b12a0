"""`GET /v1/search` finds an account's own jobs by the words of their texts and prompts."""

import time

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from server_apps import create_video

from contract.jobs import record_key
from contract.requests import GenerateRequest, JobResult
from server.app import create_app


def found(api, query, **options):
    answer = api.get("/v1/search", params={"q": query, **options})
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["data"]]


@pytest.fixture
def jobs(api, worker):
    """Ids of three completed jobs and of one that still waits."""
    texts = ["a red circle moves left", "a blue square moves right", None]
    ids = [create_video(api, prompt=f"prompt {number}") for number in range(3)]
    for job_id, text in zip(ids, texts, strict=True):
        worker.complete(job_id, text)
    video = create_video(api, prompt="a film")
    worker.complete(video, "something", video=b"an mp4")
    caption = api.post("/v1/captions", json={"video_id": video, "instruction": "which colour?"})
    worker.complete(caption.json()["id"], "the circle is red")
    create_video(api, prompt="a circle that waits")
    return [*ids, caption.json()["id"]]


def test_videos_and_captions_are_found_by_their_texts(api, jobs):
    assert set(found(api, "red circle")) == {jobs[0], jobs[3]}
    assert found(api, "red circle moving left") == [jobs[0]]
    assert found(api, "green") == []


def test_a_hit_says_what_it_is(api, jobs):
    (hit,) = api.get("/v1/search", params={"q": "moves right"}).json()["data"]
    assert hit.pop("created_at") == pytest.approx(time.time(), abs=60)
    assert hit == {
        "id": jobs[1],
        "object": "video",
        "text": "a blue square moves right",
        "prompt": "prompt 1",
        "url": f"/v1/videos/{jobs[1]}",
    }
    (hit,) = api.get("/v1/search", params={"q": "which colour"}).json()["data"]
    assert (hit["object"], hit["prompt"]) == ("caption", "which colour?")


def test_a_limit_keeps_the_best(api, jobs):
    assert len(found(api, "circle")) == 2
    assert len(found(api, "circle", limit=1)) == 1


def test_a_deleted_job_is_not_found(api, jobs):
    api.delete(f"/v1/videos/{jobs[0]}")
    assert found(api, "red circle") == [jobs[3]]


@pytest.mark.parametrize("query", ['"', "a* OR", "NEAR(", "\x00", "text:red"])
def test_no_query_is_an_error(api, jobs, query):
    found(api, query)


@pytest.mark.parametrize(("name", "value"), [("q", ""), ("limit", 0), ("limit", 101)])
def test_a_parameter_that_is_wrong_is_named(api, worker, name, value):
    answer = api.get("/v1/search", params={"q": "x", name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


def test_a_search_needs_a_query(api, worker):
    answer = api.get("/v1/search")
    assert answer.json()["error"]["code"] == "missing_required_parameter"


def test_a_key_finds_its_own_jobs_alone(server_settings, worker):
    settings = server_settings.model_copy(
        update={"api_keys": (SecretStr("one-key-of-some-length"), SecretStr("another-key-as-long"))}
    )
    one, other = (
        {"Authorization": f"Bearer {key.get_secret_value()}"} for key in settings.api_keys
    )
    with TestClient(create_app(settings), headers=one) as api:
        job_id = create_video(api)
        worker.complete(job_id, "a red circle")
        assert found(api, "circle") == [job_id]
        api.headers = other
        assert found(api, "circle") == []


def test_thousands_of_jobs_are_searched_in_good_time(api, worker):
    request = GenerateRequest(
        prompt="x",
        seed=0,
        height=64,
        width=64,
        num_frames=9,
        fps=8,
        num_inference_steps=2,
        guidance_scale=1.0,
    )
    result = JobResult(text="a blue square moves right", seed=0).model_dump_json()
    with worker.redis.pipeline() as pipeline:
        for number in range(2000):
            worker.jobs.create(f"video_{number}", request, pipeline)
            pipeline.hset(
                record_key(f"video_{number}"), mapping={"status": "completed", "result": result}
            )
        pipeline.execute()
    started = time.monotonic()
    assert len(found(api, "square", limit=100)) == 100
    assert time.monotonic() - started < 10
