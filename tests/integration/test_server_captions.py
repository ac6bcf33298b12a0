"""Caption jobs over HTTP: uploads, finished videos, and what is refused."""

import pytest
from fastapi.testclient import TestClient
from rq import Queue
from rq.serializers import JSONSerializer
from server_apps import Worker

from contract.artifacts import upload_key
from contract.requests import Segment, SourceName, UnderstandRequest

pytestmark = pytest.mark.usefixtures("worker")

#: more than the form parser keeps in memory
CLIP = b"0123456789abcdef" * 2**17


def upload(api: TestClient, **fields: str) -> str:
    response = api.post("/v1/captions", files={"video": ("clip.mp4", CLIP)}, data=fields)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def test_an_upload_becomes_a_job_with_its_bytes_in_the_store(
    api: TestClient, worker: Worker
) -> None:
    caption_id = upload(api, instruction="which colour?", seed="4", num_inference_steps="6")
    record = worker.jobs.get(caption_id)
    assert record is not None
    source = upload_key(caption_id)
    assert record.parsed_request() == UnderstandRequest(
        source=source,
        source_name=SourceName(filename="clip.mp4"),
        instruction="which colour?",
        seed=4,
        num_inference_steps=6,
    )
    assert worker.artifacts.get(source) == CLIP
    queue = Queue("understand", connection=worker.redis, serializer=JSONSerializer)
    assert queue.job_ids == [caption_id]


def test_a_caption_job_has_the_defaults_of_the_checkpoint(api: TestClient) -> None:
    caption = api.get(f"/v1/captions/{upload(api)}").json()
    assert (caption["object"], caption["status"], caption["text"]) == ("caption", "queued", None)
    assert caption["num_inference_steps"] == 12


def test_a_finished_video_is_captioned_by_its_id(api: TestClient, worker: Worker) -> None:
    video_id = api.post("/v1/videos", json={"prompt": "a red circle"}).json()["id"]
    worker.complete(video_id, video=b"frames")
    response = api.post("/v1/captions", json={"video_id": video_id})
    assert response.json()["source"]["video_id"] == video_id
    record = worker.jobs.get(response.json()["id"])
    assert record is not None
    request = record.parsed_request()
    assert isinstance(request, UnderstandRequest)
    assert worker.artifacts.get(request.source) == b"frames"


def test_a_video_that_is_not_finished_is_refused(api: TestClient) -> None:
    video_id = api.post("/v1/videos", json={"prompt": "a red circle"}).json()["id"]
    response = api.post("/v1/captions", json={"video_id": video_id})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["code"]) == ("video_id", "video_not_ready")


def test_the_text_is_served_alone_and_with_its_facts(api: TestClient, worker: Worker) -> None:
    caption_id = upload(api, seed="4")
    assert api.get(f"/v1/captions/{caption_id}/content").status_code == 404
    worker.complete(caption_id, text="ein rötlicher Kreis")
    url = f"/v1/captions/{caption_id}"
    assert api.get(url).json()["text"] == "ein rötlicher Kreis"
    assert api.get(f"{url}/content").text == "ein rötlicher Kreis\n"
    assert api.get(f"{url}/content", params={"format": "json"}).json() == {
        "id": caption_id,
        "text": "ein rötlicher Kreis",
        "instruction": None,
        "model": "univigu",
        "seed": 4,
    }


SRT = "1\n00:00:00,000 --> 00:00:02,500\na red circle\n"


@pytest.mark.parametrize(
    ("name", "media_type", "content"),
    [
        ("text", "text/plain; charset=utf-8", "a red circle\n"),
        ("srt", "application/x-subrip; charset=utf-8", SRT),
        (
            "vtt",
            "text/vtt; charset=utf-8",
            "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\na red circle\n",
        ),
    ],
)
def test_the_text_comes_in_the_format_asked_for(
    api: TestClient, worker: Worker, name: str, media_type: str, content: str
) -> None:
    plain, wanted = upload(api), upload(api, response_format=name)
    for caption_id in (plain, wanted):
        worker.complete(caption_id, text="a red circle", seconds=2.5)
    answers = [
        api.get(f"/v1/captions/{plain}/content", params={"format": name}),
        api.get(f"/v1/captions/{wanted}/content"),
    ]
    assert [answer.text for answer in answers] == [content] * 2
    assert [answer.headers["content-type"] for answer in answers] == [media_type] * 2


def test_verbose_json_has_a_segment_over_the_whole_video(api: TestClient, worker: Worker) -> None:
    caption_id = upload(api, response_format="verbose_json")
    worker.complete(caption_id, text="a red circle", seconds=2.5)
    found = api.get(f"/v1/captions/{caption_id}/content").json()
    assert (found["text"], found["duration"]) == ("a red circle", 2.5)
    assert found["segments"] == [{"id": 0, "start": 0.0, "end": 2.5, "text": "a red circle"}]
    caption = api.get(f"/v1/captions/{caption_id}").json()
    assert caption["duration_s"] == 2.5
    assert {api.get(url).status_code for url in caption["urls"].values()} == {200}


def test_subtitles_of_a_video_that_was_cut_have_the_times_of_its_segments(
    api: TestClient, worker: Worker
) -> None:
    caption_id = upload(api, segment_seconds="1.5")
    request = worker.jobs.get(caption_id).parsed_request()
    assert request.segment_seconds == 1.5
    segments = [
        Segment(start=0, end=1.5, text="a red circle"),
        Segment(start=1.5, end=2.5, text="a blue square"),
    ]
    worker.complete(caption_id, text="a red circle\na blue square", seconds=2.5, segments=segments)
    caption = api.get(f"/v1/captions/{caption_id}").json()
    assert caption["segments"] == [segment.model_dump() for segment in segments]
    content = f"/v1/captions/{caption_id}/content"
    assert api.get(content, params={"format": "srt"}).text == (
        "1\n00:00:00,000 --> 00:00:01,500\na red circle\n\n"
        "2\n00:00:01,500 --> 00:00:02,500\na blue square\n"
    )
    verbose = api.get(content, params={"format": "verbose_json"}).json()
    assert [(part["id"], part["start"], part["text"]) for part in verbose["segments"]] == [
        (0, 0, "a red circle"),
        (1, 1.5, "a blue square"),
    ]


def test_a_text_without_a_duration_has_no_subtitles(api: TestClient, worker: Worker) -> None:
    caption_id = upload(api)
    worker.complete(caption_id)
    response = api.get(f"/v1/captions/{caption_id}/content?format=srt")
    assert response.status_code == 404
    assert "srt" not in api.get(f"/v1/captions/{caption_id}").json()["urls"]


def test_a_job_without_text_has_no_content(api: TestClient, worker: Worker) -> None:
    caption_id = upload(api)
    worker.complete(caption_id, text=None)
    response = api.get(f"/v1/captions/{caption_id}/content")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "variant_not_available"


def test_a_video_without_a_file_cannot_be_captioned(api: TestClient, worker: Worker) -> None:
    video_id = api.post("/v1/videos", json={"prompt": "a red circle"}).json()["id"]
    worker.complete(video_id)
    response = api.post("/v1/captions", json={"video_id": video_id})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "video_id"


def test_a_caption_job_is_followed_like_a_video(api: TestClient, worker: Worker) -> None:
    caption_id = upload(api)
    worker.complete(caption_id, text="a red circle")
    assert "event: completed" in api.get(f"/v1/captions/{caption_id}/events").text


def test_delete_removes_the_upload_too(api: TestClient, worker: Worker) -> None:
    caption_id, other = upload(api), upload(api)
    answer = api.delete(f"/v1/captions/{caption_id}").json()
    assert answer == {"id": caption_id, "object": "caption.deleted", "deleted": True}
    assert worker.artifacts.list("uploads/") == [upload_key(other)]


def test_cancel_and_list_work_as_for_videos(api: TestClient) -> None:
    caption_id = upload(api)
    assert api.post(f"/v1/captions/{caption_id}/cancel").json()["status"] == "cancelled"
    assert [item["id"] for item in api.get("/v1/captions").json()["data"]] == [caption_id]
    assert api.get("/v1/videos").json()["data"] == []


def test_a_caption_is_no_video(api: TestClient) -> None:
    assert api.get(f"/v1/videos/{upload(api)}").status_code == 404
