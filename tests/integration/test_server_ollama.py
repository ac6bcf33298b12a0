"""The part of Ollama's API that photo libraries use."""

import base64
import json
import zipfile
from io import BytesIO
from typing import Any

import pytest
from fastapi.testclient import TestClient
from server_apps import Worker

PICTURES = [b"first picture", b"second picture"]
IMAGES = [base64.b64encode(picture).decode() for picture in PICTURES]
ASK = {"model": "univigu:latest", "prompt": "what is it?", "images": IMAGES}
CHAT = {
    "model": "univigu",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what is it?", "images": IMAGES},
    ],
}


def test_pictures_are_captioned_as_one_clip(api: TestClient, answering: Worker) -> None:
    # as PhotoPrism sends it, with an id that Ollama knows nothing of
    ask = {**ASK, "id": "6b1c", "suffix": "", "stream": False, "options": {"temperature": 0.1}}
    ask["options"]["seed"] = 4
    response = api.post("/api/generate", json=ask)
    answer = response.json()
    assert (answer["response"], answer["done"], answer["model"]) == (
        "a rötlicher circle",
        True,
        "univigu:latest",
    )
    assert answer["total_duration"] >= answer["eval_duration"] >= 0
    record = answering.jobs.get(response.headers["x-job-id"])
    request = record.parsed_request()
    assert (request.instruction, request.seed) == ("what is it?", 4)
    with zipfile.ZipFile(BytesIO(answering.artifacts.get(request.source))) as archive:
        assert [archive.read(name) for name in archive.namelist()] == PICTURES


def test_the_answer_comes_as_lines_unless_told_otherwise(
    api: TestClient, answering: Worker
) -> None:
    response = api.post("/api/generate", json=ASK)
    assert response.headers["content-type"] == "application/x-ndjson"
    first, last = map(json.loads, response.text.splitlines())
    assert (first["response"], first["done"]) == ("a rötlicher circle", False)
    assert (last["response"], last["done"], last["done_reason"]) == ("", True, "stop")


def test_a_chat_asks_the_same(api: TestClient, answering: Worker) -> None:
    response = api.post("/api/chat", json={**CHAT, "stream": False})
    assert response.json()["message"] == {"role": "assistant", "content": "a rötlicher circle"}
    record = answering.jobs.get(response.headers["x-job-id"])
    assert record.parsed_request().instruction == "be brief\nwhat is it?"
    lines = [json.loads(line) for line in api.post("/api/chat", json=CHAT).text.splitlines()]
    assert [line["message"]["content"] for line in lines] == ["a rötlicher circle", ""]


def test_a_job_that_fails_is_an_error(api: TestClient, answering: Worker) -> None:
    response = api.post("/api/generate", json={**ASK, "prompt": "fail"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_video"


def test_the_model_is_listed_and_described(api: TestClient, worker: Worker) -> None:
    (model,) = api.get("/api/tags").json()["models"]
    assert (model["name"], model["digest"]) == ("univigu:latest", "0123abcd")
    shown = api.post("/api/show", json={"model": model["name"]}).json()
    assert "vision" in shown["capabilities"]
    assert api.post("/api/show", json={"model": "llava"}).json()["error"]["param"] == "model"
    assert api.post("/api/show", json={}).json()["error"]["param"] == "model"
    assert api.get("/api/version").json().keys() == {"version"}


def test_a_request_for_nothing_loads_the_model(api: TestClient, worker: Worker) -> None:
    answer = api.post("/api/generate", json={"model": "univigu"}).json()
    assert (answer["done"], answer["done_reason"]) == (True, "load")


@pytest.mark.parametrize(
    ("path", "ask", "param"),
    [
        ("generate", {**ASK, "images": []}, "images"),
        ("generate", {**ASK, "images": ["a*b"]}, "images[0]"),
        ("generate", {**ASK, "images": [IMAGES[0], ""]}, "images[1]"),
        ("generate", {**ASK, "model": "llava"}, "model"),
        ("generate", {**ASK, "format": "json"}, "format"),
        ("generate", {**ASK, "options": {"seed": -1}}, "options.seed"),
        ("generate", {"prompt": "x"}, "model"),
        ("chat", {"model": "univigu", "messages": []}, "images"),
        ("chat", {**CHAT, "messages": [{"role": "assistant"}]}, "messages.0.role"),
    ],
)
def test_what_cannot_be_captioned_is_refused_by_name(
    api: TestClient, worker: Worker, path: str, ask: dict[str, Any], param: str
) -> None:
    response = api.post(f"/api/{path}", json=ask)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert worker.jobs.live_ids() == set()
