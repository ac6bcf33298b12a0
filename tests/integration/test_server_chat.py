"""Chat completions about a clip, with the stock client and by hand."""

import base64
import io
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import APIError, BadRequestError, OpenAI
from server_apps import Worker

from contract.requests import UnderstandRequest
from server.routes import chat

CLIP = b"frames of a clip"
URL = "data:video/mp4;base64," + base64.b64encode(CLIP).decode()
TEXT = {"type": "text", "text": "which colour?"}


def video(url: str | None = URL, **more: Any) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url, **more}}


def body(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}], **fields}


@pytest.fixture
def client(live_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_the_stock_client_asks_about_a_clip(client: OpenAI, answering: Worker) -> None:
    messages: Any = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [TEXT, video(fps=2, max_frames=8)]},
    ]
    answer = client.chat.completions.create(
        model="univigu",
        messages=messages,
        seed=4,
        temperature=0.2,
        max_tokens=100,
        extra_body={"num_inference_steps": 6, "media_io_kwargs": {"video": {"num_frames": 8}}},
    )
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("a rötlicher circle", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 3)
    record = answering.jobs.get(answer.id.removeprefix("chatcmpl-"))
    assert record is not None
    request = record.parsed_request()
    assert isinstance(request, UnderstandRequest)
    assert (request.instruction, request.seed) == ("be brief\nwhich colour?", 4)
    assert request.num_inference_steps == 6
    assert answering.artifacts.get(request.source) == CLIP


def test_a_clip_may_be_a_file_that_is_kept_here(client: OpenAI, answering: Worker) -> None:
    file = client.files.create(file=("clip.mp4", CLIP), purpose="user_data")
    messages: Any = [{"role": "user", "content": [video(None, file_id=file.id)]}]
    answer = client.chat.completions.create(model="univigu", messages=messages)
    record = answering.jobs.get(answer.id.removeprefix("chatcmpl-"))
    assert record is not None
    assert answering.artifacts.get(record.parsed_request().source) == CLIP


def test_the_stock_client_reads_a_stream(client: OpenAI, answering: Worker) -> None:
    messages: Any = [{"role": "user", "content": [video()]}]
    chunks = list(
        client.chat.completions.create(
            model="univigu", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    assert "".join(delta or "" for delta in deltas) == "a rötlicher circle"
    assert [c.finish_reason for chunk in chunks for c in chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 3


def test_single_frames_are_a_clip_too(client: OpenAI, answering: Worker) -> None:
    frames = ",".join(base64.b64encode(frame).decode() for frame in (b"one", b"two"))
    messages: Any = [{"role": "user", "content": [video(f"data:video/jpeg;base64,{frames}")]}]
    answer = client.chat.completions.create(model="univigu", messages=messages)
    record = answering.jobs.get(answer.id.removeprefix("chatcmpl-"))
    assert record is not None
    with zipfile.ZipFile(io.BytesIO(answering.artifacts.get(record.parsed_request().source))) as z:
        assert [z.read(name) for name in z.namelist()] == [b"one", b"two"]


def test_a_clip_that_fails_is_an_error(client: OpenAI, answering: Worker) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "fail"}, video()]}]
    with pytest.raises(BadRequestError, match="no video") as caught:
        client.chat.completions.create(model="univigu", messages=messages)
    assert caught.value.code == "invalid_video"
    with pytest.raises(APIError, match="no video"):
        list(client.chat.completions.create(model="univigu", messages=messages, stream=True))


def test_an_answer_that_takes_long_is_503_and_the_job_goes_on(
    api: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "MAX_SECONDS", 0.1)
    again = {"x-stainless-retry-count": "1"}
    answers = [api.post("/v1/chat/completions", json=body(video()), headers=again) for _ in "ab"]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].json()["error"]["code"] == "still_running"
    assert len(worker.jobs.live_ids()) == 1


def test_a_stream_that_waits_shows_signs_of_life(
    api: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "MAX_SECONDS", 2)
    monkeypatch.setattr(chat, "_BREATH_SECONDS", 1)
    started = time.monotonic()
    lines = api.post("/v1/chat/completions", json=body(video(), stream=True)).text.splitlines()
    assert lines.count(": still working") == 2
    assert "still_running" in lines[-2]
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("request_body", "param", "code"),
    [
        (body(TEXT), "messages", "invalid_value"),
        (body(video(), video()), "messages", "invalid_value"),
        (body(video("https://127.0.0.1/a.mp4")), "video_url", "url_not_allowed"),
        (body(video("http://example.com/a.mp4")), "video_url", "url_not_allowed"),
        (body(video("data:text/html;base64,AAAA")), "video_url", "unsupported_parameter"),
        (body(video("file:///etc/passwd")), "video_url", "url_not_allowed"),
        (body(video("data:video/mp4;base64,a*b")), "video_url", "invalid_value"),
        (body(video("data:video/mp4;base64,")), "video_url", "empty_file"),
        (body(video(None, file_id="file-x")), "file_id", "invalid_value"),
        (body(video(None)), "video", "missing_required_parameter"),
        (body(video(file_id="file-x")), "video", "invalid_value"),
        (body(video(), n=2), "n", "invalid_value"),
        (body(video(), tools=[]), "tools", "unknown_parameter"),
        (body(video(), model="gpt"), "model", "model_not_found"),
        (body(video(), seed=-1), "seed", "invalid_value"),
        ({"model": "univigu"}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages.0.role", None),
    ],
)
def test_what_is_no_question_about_one_clip_is_refused(
    api: TestClient, worker: Worker, request_body: dict[str, Any], param: str, code: str | None
) -> None:
    response = api.post("/v1/chat/completions", json=request_body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param
    assert code in (None, error["code"])
    assert worker.jobs.live_ids() == set()
