"""The files of a job over HTTP: whole, in part, and what is not there."""

import json

import pytest
from fastapi.testclient import TestClient
from server_apps import FRAMES, Worker, create_video

pytestmark = pytest.mark.usefixtures("worker")


def test_the_video_is_served_whole_and_its_tag_is_stable(
    api: TestClient, completed_video: str
) -> None:
    response = api.get(f"/v1/videos/{completed_video}/content")
    assert response.content == FRAMES
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["accept-ranges"] == "bytes"
    again = api.get(
        f"/v1/videos/{completed_video}/content", headers={"if-none-match": response.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("header", "part"),
    [("bytes=0-0", FRAMES[:1]), ("bytes=10-19", FRAMES[10:20]), ("bytes=-5", FRAMES[-5:])],
)
def test_a_range_of_the_video_is_partial_content(
    api: TestClient, completed_video: str, header: str, part: bytes
) -> None:
    response = api.get(f"/v1/videos/{completed_video}/content", headers={"range": header})
    assert (response.status_code, response.content) == (206, part)
    assert response.headers["content-length"] == str(len(part))
    assert response.headers["content-range"].endswith(f"/{len(FRAMES)}")


def test_a_range_past_the_end_is_416(api: TestClient, completed_video: str) -> None:
    response = api.get(
        f"/v1/videos/{completed_video}/content", headers={"range": f"bytes={len(FRAMES)}-"}
    )
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(FRAMES)}"
    assert response.json()["error"]["param"] == "Range"


def test_a_range_of_a_changed_file_is_the_whole_file(api: TestClient, completed_video: str) -> None:
    url = f"/v1/videos/{completed_video}/content"
    tag = api.head(url).headers["etag"]
    for condition, status in ((tag, 206), ('"other"', 200)):
        headers = {"range": "bytes=0-9", "if-range": condition}
        assert api.get(url, headers=headers).status_code == status


def test_head_names_the_size_without_a_body(api: TestClient, completed_video: str) -> None:
    response = api.head(f"/v1/videos/{completed_video}/content")
    assert response.content == b""
    assert response.headers["content-length"] == str(len(FRAMES))


def test_the_caption_is_served_as_text_and_as_json(api: TestClient, completed_video: str) -> None:
    url = f"/v1/videos/{completed_video}/content"
    assert api.get(url, params={"variant": "txt"}).text == "a red circle moves left\n"
    assert json.loads(api.get(url, params={"variant": "caption"}).content) == {
        "id": completed_video,
        "caption": "a red circle moves left",
        "prompt": "a red circle",
        "model": "univigu",
        "seed": 5,
    }


def test_the_caption_is_served_as_subtitles(api: TestClient, completed_video: str) -> None:
    url = f"/v1/videos/{completed_video}/content"
    cue = "00:00:00{0}000 --> 00:00:01{0}125\na red circle moves left\n"
    vtt, srt = (api.get(url, params={"variant": name}) for name in ("vtt", "srt"))
    assert (vtt.text, srt.text) == ("WEBVTT\n\n" + cue.format("."), "1\n" + cue.format(","))
    assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"


def test_the_thumbnail_is_an_image(api: TestClient, completed_video: str) -> None:
    response = api.get(f"/v1/videos/{completed_video}/content", params={"variant": "thumbnail"})
    assert (response.headers["content-type"], response.content) == ("image/jpeg", b"jpeg")


def test_an_unknown_variant_is_refused_with_those_there_are(
    api: TestClient, completed_video: str
) -> None:
    response = api.get(f"/v1/videos/{completed_video}/content", params={"variant": "poster"})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "variant"
    assert "'preview', 'caption', 'txt', 'vtt' or 'srt'" in error["message"]


def test_content_before_the_end_is_not_there_and_not_worth_a_retry(api: TestClient) -> None:
    response = api.get(f"/v1/videos/{create_video(api)}/content")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "video_not_ready"
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("variant", ["txt", "caption", "thumbnail"])
def test_a_variant_that_a_mode_does_not_make_is_404(
    api: TestClient, worker: Worker, variant: str
) -> None:
    video_id = create_video(api, mode="video_only")
    worker.complete(video_id, text=None, video=FRAMES)
    response = api.get(f"/v1/videos/{video_id}/content", params={"variant": variant})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "variant_not_available"


def test_a_file_that_the_store_has_lost_is_404(
    api: TestClient, worker: Worker, completed_video: str
) -> None:
    worker.artifacts.delete_all(f"jobs/{completed_video}/")
    response = api.get(f"/v1/videos/{completed_video}/content")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "artifact_missing"
