"""Video jobs over HTTP, on real Redis and a real artifact store."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from rq import Queue
from rq.serializers import JSONSerializer
from server_apps import Worker, create_video

from contract.errors import ErrorInfo
from contract.queues import JOB_FUNCTION, JOB_TIMEOUT_SECONDS, MAX_RETRIES
from contract.records import Status

pytestmark = pytest.mark.usefixtures("worker")


def test_a_json_request_becomes_a_queued_job(api: TestClient) -> None:
    response = api.post("/v1/videos", json={"prompt": "a red circle", "size": "64x64", "seed": 5})
    video = response.json()
    assert (video["object"], video["status"], video["progress"]) == ("video", "queued", 0)
    assert (video["size"], video["width"], video["height"], video["seed"]) == ("64x64", 64, 64, 5)
    assert int(response.headers["openai-poll-after-ms"]) > 0
    assert api.get(f"/v1/videos/{video['id']}").json() == video


def test_a_form_with_bracket_keys_means_the_same_as_json(api: TestClient) -> None:
    form = {"prompt": "a red circle", "seconds": "1", "video_params[fps]": "16", "seed": "5"}
    same = {"prompt": "a red circle", "seconds": 1, "video_params": {"fps": 16}, "seed": 5}
    answers = [
        api.post("/v1/videos", files={name: (None, value) for name, value in form.items()}),
        api.post("/v1/videos", data=form),
        api.post("/v1/videos", json=same),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    own = {"id", "created_at", "urls", "queue_position"}
    objects = [
        {name: value for name, value in answer.json().items() if name not in own}
        for answer in answers
    ]
    assert objects[0] == objects[1] == objects[2]
    assert (objects[0]["fps"], objects[0]["num_frames"]) == (16, 17)


def test_the_ticket_in_the_queue_names_the_job_and_nothing_else(
    api: TestClient, worker: Worker
) -> None:
    video_id = create_video(api)
    queue = Queue("generate", connection=worker.redis, serializer=JSONSerializer)
    (ticket,) = queue.jobs
    assert (ticket.id, ticket.func_name, ticket.args) == (video_id, JOB_FUNCTION, [video_id])
    assert (ticket.timeout, ticket.retries_left) == (JOB_TIMEOUT_SECONDS, MAX_RETRIES)


def test_steps_of_a_running_job_are_its_progress(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api)
    attempt = worker.start(video_id)
    worker.jobs.progress(video_id, attempt, "denoise", 10, 20)
    video = api.get(f"/v1/videos/{video_id}").json()
    assert (video["status"], video["progress"], video["phase"]) == ("in_progress", 45, "denoise")
    assert (video["attempt"], video["completed_at"]) == (1, None)


def test_a_completed_job_has_its_caption_and_its_urls(
    api: TestClient, completed_video: str
) -> None:
    response = api.get(f"/v1/videos/{completed_video}")
    video = response.json()
    assert (video["status"], video["progress"]) == ("completed", 100)
    assert video["caption"] == "a red circle moves left"
    assert "openai-poll-after-ms" not in response.headers
    del video["urls"]["events"]
    assert {name: api.get(url).status_code for name, url in video["urls"].items()} == {
        "video": 200,
        "thumbnail": 200,
        "caption": 200,
        "txt": 200,
        "vtt": 200,
        "srt": 200,
    }


def test_a_failed_job_is_answered_with_200_and_its_error(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api)
    error = ErrorInfo(code="prompt_too_long", message="70 tokens, at most 64", param="prompt")
    worker.jobs.finish(video_id, worker.start(video_id), Status.FAILED, error=error)
    response = api.get(f"/v1/videos/{video_id}")
    assert response.status_code == 200
    assert response.json()["status"] == "failed"
    assert response.json()["error"] == error.model_dump()


def test_pages_follow_each_other(api: TestClient) -> None:
    ids = [create_video(api) for _ in range(3)]
    first = api.get("/v1/videos", params={"limit": 2, "order": "asc"}).json()
    assert [video["id"] for video in first["data"]] == ids[:2]
    assert (first["object"], first["has_more"], first["last_id"]) == ("list", True, ids[1])
    rest = api.get("/v1/videos", params={"after": first["last_id"], "order": "asc"}).json()
    assert [video["id"] for video in rest["data"]] == ids[2:]
    assert rest["has_more"] is False


def test_the_newest_job_is_listed_first(api: TestClient) -> None:
    ids = [create_video(api) for _ in range(2)]
    assert api.get("/v1/videos").json()["first_id"] == ids[1]


def test_a_page_may_be_empty(api: TestClient) -> None:
    empty = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert api.get("/v1/videos").json() == empty
    create_video(api)
    assert api.get("/v1/videos?limit=0").json() == empty | {"has_more": True}


@pytest.mark.parametrize(
    ("query", "param"), [("limit=-1", "limit"), ("limit=101", "limit"), ("order=up", "order")]
)
def test_a_bad_query_is_refused_by_name(api: TestClient, query: str, param: str) -> None:
    response = api.get(f"/v1/videos?{query}")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_a_cursor_that_does_not_exist_is_refused(api: TestClient) -> None:
    response = api.get("/v1/videos?after=video_gone")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "after"


def test_cancel_of_a_queued_job_is_at_once(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api)
    assert api.post(f"/v1/videos/{video_id}/cancel").json()["status"] == "cancelled"
    assert worker.start(video_id) == 0


def test_cancel_of_a_running_job_waits_for_the_worker(api: TestClient, worker: Worker) -> None:
    video_id = create_video(api)
    attempt = worker.start(video_id)
    video = api.post(f"/v1/videos/{video_id}/cancel").json()
    assert video["status"] == "in_progress"
    assert video["cancel_requested_at"] is not None
    worker.jobs.finish(video_id, attempt, Status.CANCELLED)
    assert api.get(f"/v1/videos/{video_id}").json()["status"] == "cancelled"


def test_cancel_of_an_ended_job_leaves_it_as_it_is(api: TestClient, completed_video: str) -> None:
    response = api.post(f"/v1/videos/{completed_video}/cancel")
    assert response.status_code == 200
    assert response.json()["status"] == "completed"


def test_delete_removes_record_and_files(
    api: TestClient, worker: Worker, completed_video: str
) -> None:
    answer = api.delete(f"/v1/videos/{completed_video}").json()
    assert answer == {"id": completed_video, "object": "video.deleted", "deleted": True}
    assert api.get(f"/v1/videos/{completed_video}").status_code == 404
    assert api.get("/v1/videos").json()["data"] == []
    assert worker.artifacts.list("jobs/") == []


@pytest.mark.parametrize("running", [False, True])
def test_delete_of_a_live_job_stops_it(api: TestClient, worker: Worker, running: bool) -> None:
    video_id = create_video(api)
    attempt = worker.start(video_id) if running else 0
    assert api.delete(f"/v1/videos/{video_id}").status_code == 200
    assert worker.jobs.progress(video_id, attempt, "denoise", 1, 20) == "not_mine"
    assert worker.start(video_id) == 0
    assert worker.jobs.live_ids() == set()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("GET", "/content"),
        ("GET", "/events"),
    ],
)
def test_an_unknown_job_is_404(api: TestClient, method: str, path: str) -> None:
    response = api.request(method, f"/v1/videos/video_unknown{path}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
    assert response.headers["x-should-retry"] == "false"


def test_a_picture_to_start_from_is_refused_by_name(api: TestClient) -> None:
    files = {"prompt": (None, "a red circle"), "input_reference": ("a.png", b"png")}
    response = api.post("/v1/videos", files=files)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "input_reference"


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": "a", "video_params[fps]": ["8", "16"]}, "video_params"),
        ({"prompt": "a", "seed": "1", "seed[x]": "2"}, "seed"),
        ({"prompt": "a", "video_params[a][b]": "1"}, "video_params[a][b]"),
    ],
)
def test_a_field_given_twice_or_too_deep_is_refused(
    api: TestClient, form: dict[str, Any], param: str
) -> None:
    response = api.post("/v1/videos", data=form)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
