"""A prompt that the policy does not allow makes no job, whichever way it comes."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from openai import BadRequestError, OpenAI
from server_apps import Worker

from contract.errors import ErrorInfo
from contract.records import Status
from server.app import create_app
from server.settings import ServerSettings

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def server_settings(server_settings: ServerSettings, tmp_path: Path) -> ServerSettings:
    file = tmp_path / "words.txt"
    file.write_text("[weapons]\ngun\n")
    return server_settings.model_copy(update={"blocked_words_file": file})


def refused(answer, param: str) -> bool:
    error = answer.json()["error"]
    assert answer.status_code == 400, answer.text
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert "'weapons'" in error["message"]
    return error["code"] == "content_policy_violation"


def test_no_way_to_ask_for_a_video_passes(api: TestClient) -> None:
    body = {"prompt": "a red Gun"}
    assert refused(api.post("/v1/videos", json=body), "prompt")
    assert refused(api.post("/v1/videos", data=body), "prompt")
    assert refused(api.put("/v1/videos/mine", json=body), "prompt")
    assert refused(api.post("/v1/videos/sync", json=body), "prompt")
    assert api.get("/v1/videos").json()["data"] == []
    assert api.post("/v1/videos", json={"prompt": "a red circle"}).status_code == 200


def test_a_question_is_held_against_it_too_and_nothing_is_stored(
    api: TestClient, worker: Worker
) -> None:
    file = {"video": ("clip.mp4", b"frames")}
    answer = api.post("/v1/captions", files=file, data={"instruction": "where is the gun?"})
    assert refused(answer, "instruction")
    part = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
    content = [part, {"type": "text", "text": "where is the gun?"}]
    chat = {"messages": [{"role": "user", "content": content}]}
    assert refused(api.post("/v1/chat/completions", json=chat), "instruction")
    assert worker.artifacts.list("uploads/") == []


def test_a_policy_that_raises_refuses(
    server_settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError("away")

    monkeypatch.setattr("contract.policy.WordList.broken_rule", fail)
    with TestClient(create_app(server_settings)) as api:
        answer = api.post("/v1/videos", json={"prompt": "a red circle"})
        assert answer.status_code == 400
        assert "'policy_error'" in answer.json()["error"]["message"]
        assert api.get("/v1/videos").json()["data"] == []


def test_a_caption_that_was_not_allowed_is_the_fault_of_the_request(
    api: TestClient, worker: Worker
) -> None:
    video_id = api.post("/v1/videos", json={"prompt": "a red circle"}).json()["id"]
    error = ErrorInfo(code="content_policy_violation", message="the caption is not allowed")
    worker.jobs.finish(video_id, worker.start(video_id), Status.FAILED, error=error)
    video = api.get(f"/v1/videos/{video_id}").json()
    assert (video["status"], video["error"]["code"]) == ("failed", "content_policy_violation")


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
def test_the_stock_client_is_told_the_code(live_url: str) -> None:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused", max_retries=0) as client:
        with pytest.raises(BadRequestError) as refusal:
            client.videos.create(prompt="a gun")
    assert refusal.value.code == "content_policy_violation"
