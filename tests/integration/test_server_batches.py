"""`/v1/batches`: what becomes of the lines of a file, on a real Redis and real stores."""

import base64
import json
import time
from typing import Any

import pytest
from batch_house import BatchHouse, drive, finish_jobs, jsonl, video_lines
from fastapi.testclient import TestClient
from openai import OpenAI
from s3_servers import S3Server
from server_apps import FRAMES, Worker, create_video

from contract.artifacts import ArtifactStore
from contract.batches import BatchStore
from contract.errors import ErrorCode, ErrorInfo
from contract.records import Status
from server.app import create_app
from server.settings import ServerSettings


def test_videos(house: BatchHouse, worker: Worker) -> None:
    lines = video_lines(20)
    lines[7]["body"]["size"] = "1x1"
    lines[9]["body"] = {}
    batch_id = house.create(lines)
    assert house.get(batch_id)["status"] == "validating"
    batch = drive(house, worker, batch_id, video=FRAMES)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 20, "completed": 18, "failed": 2}
    outputs, errors = house.outcomes(batch_id), house.outcomes(batch_id, "error")
    assert outputs.keys() | errors.keys() == {line["custom_id"] for line in lines}
    line = outputs["line-3"]
    assert line["error"] is None
    assert line["response"]["status_code"] == 200
    video = line["response"]["body"]
    assert (video["status"], video["seed"], video["prompt"]) == ("completed", 3, "circle 3")
    assert house.api.get(f"/v1/videos/{video['id']}/content").content == FRAMES
    refused = errors["line-7"]["response"]
    assert refused["status_code"] == 400
    assert refused["body"]["error"]["param"] == "size"
    assert errors["line-9"]["response"]["body"]["error"]["param"] == "prompt"


def test_nothing_but_the_two_files_is_left(house: BatchHouse, worker: Worker) -> None:
    batch_id = house.create(video_lines(2))
    drive(house, worker, batch_id)
    assert worker.artifacts.list("batches/") == []
    assert list(worker.redis.scan_iter(match=f"univigu:batch-lease:{batch_id}")) == []
    assert BatchStore(worker.redis).live_ids() == []
    assert house.driver.sweep() == 0
    assert house.get(batch_id)["error_file_id"] is None


def test_the_openai_client_follows_a_batch(live_url: str, worker: Worker) -> None:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused", max_retries=0) as client:
        file = client.files.create(file=("in.jsonl", jsonl(video_lines(3))), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/videos",
            completion_window="24h",
            metadata={"night": "1"},
            output_expires_after={"anchor": "created_at", "seconds": 7200},
        )
        assert (batch.object, batch.endpoint, batch.metadata) == (
            "batch",
            "/v1/videos",
            {"night": "1"},
        )
        # the input may go at once
        client.files.delete(file.id)
        deadline = time.monotonic() + 90
        while batch.status != "completed":
            assert time.monotonic() < deadline, batch
            finish_jobs(worker, video=FRAMES)
            time.sleep(0.05)
            batch = client.batches.retrieve(batch.id)
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 3, "completed": 3, "failed": 0}
        assert batch.output_file_id is not None
        output = client.files.retrieve(batch.output_file_id)
        assert (output.purpose, output.expires_at) == ("batch_output", output.created_at + 7200)
        lines = [json.loads(line) for line in client.files.content(output.id).iter_lines()]
        assert {line["custom_id"] for line in lines} == {"line-0", "line-1", "line-2"}
        assert [found.id for found in client.batches.list(limit=1)] == [batch.id]


def chat_line(name: str, question: str, **fields: Any) -> dict[str, Any]:
    clip = f"data:video/mp4;base64,{base64.b64encode(FRAMES).decode()}"
    parts = [
        {"type": "text", "text": question},
        {"type": "video_url", "video_url": {"url": clip}},
    ]
    body = {"messages": [{"role": "user", "content": parts}], **fields}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}


def test_chats(house: BatchHouse, worker: Worker) -> None:
    lines = [chat_line("a", "Which colour?"), chat_line("b", "Who?", stream=True)]
    batch_id = house.create(lines, "/v1/chat/completions")
    drive(house, worker, batch_id, text="it is red")
    answer = house.outcomes(batch_id)["a"]["response"]["body"]
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "it is red"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    refused = house.outcomes(batch_id, "error")["b"]["response"]["body"]["error"]
    assert refused["param"] == "stream"


def caption_line(name: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": name, "method": "POST", "url": "/v1/captions", "body": body}


def test_captions_of_videos(house: BatchHouse, worker: Worker) -> None:
    video_id = create_video(house.api)
    worker.complete(video_id, video=FRAMES)
    lines = [caption_line("a", video_id=video_id), caption_line("b", video_id="video_none")]
    batch_id = house.create(lines, "/v1/captions")
    drive(house, worker, batch_id, text="a red circle")
    answer = house.outcomes(batch_id)["a"]["response"]["body"]
    assert (answer["object"], answer["text"]) == ("caption", "a red circle")
    assert house.outcomes(batch_id, "error").keys() == {"b"}


def test_captions_and_chats_of_kept_files(house: BatchHouse, worker: Worker) -> None:
    sent = {"files": {"file": FRAMES}, "data": {"purpose": "user_data"}}
    file_id = house.api.post("/v1/files", **sent).json()["id"]  # type: ignore[arg-type]
    captions = house.create([caption_line("a", file_id=file_id)], "/v1/captions")
    chat = chat_line("b", "Who?")
    chat["body"]["messages"][0]["content"][1]["video_url"] = {"file_id": file_id}
    chats = house.create([chat], "/v1/chat/completions")
    for _ in range(2):
        house.driver.sweep()
    sources = [worker.jobs.get(i).parsed_request().source for i in worker.jobs.live_ids()]
    assert [worker.artifacts.get(source) for source in sources] == [FRAMES] * 2
    for batch_id in (captions, chats):
        assert drive(house, worker, batch_id)["request_counts"]["completed"] == 1


def test_a_job_that_fails_or_is_taken_away_is_an_error_of_its_line(
    house: BatchHouse, worker: Worker
) -> None:
    batch_id = house.create(video_lines(4))
    house.driver.sweep()
    house.driver.sweep()
    jobs = {worker.jobs.get(i).parsed_request().seed: i for i in worker.jobs.live_ids()}
    assert len(jobs) == 4
    error = ErrorInfo(code=ErrorCode.OUT_OF_MEMORY, message="too large")
    worker.jobs.finish(jobs[0], worker.start(jobs[0]), Status.FAILED, error=error)
    house.api.post(f"/v1/videos/{jobs[1]}/cancel")
    house.api.delete(f"/v1/videos/{jobs[2]}")
    assert drive(house, worker, batch_id)["status"] == "completed"
    errors = house.outcomes(batch_id, "error")
    found = [
        (errors[name]["response"]["status_code"], errors[name]["response"]["body"]["error"]["code"])
        for name in ("line-0", "line-1", "line-2")
    ]
    assert found == [(500, "out_of_memory"), (409, "cancelled"), (410, "gone")]
    assert house.outcomes(batch_id).keys() == {"line-3"}


class TestPace:
    def test_others_wait_behind_few_jobs_of_batches(
        self, house: BatchHouse, worker: Worker
    ) -> None:
        first, second = (house.create(video_lines(30)) for _ in range(2))
        for _ in range(3):
            house.driver.sweep()
        assert len(worker.jobs.live_ids()) == 4
        assert house.get(second)["status"] == "in_progress"
        house.api.post(f"/v1/batches/{first}/cancel")
        for _ in range(3):
            house.driver.sweep()
        assert len(worker.jobs.live_ids()) == 8
        # of whomever: a queue that others fill is left to them
        finish_jobs(worker)
        for _ in range(9):
            create_video(house.api)
        house.driver.sweep()
        assert len(worker.jobs.live_ids()) == 9

    def test_a_batch_waits_for_the_model(self, house: BatchHouse, worker: Worker) -> None:
        worker.redis.delete("univigu:capabilities")
        batch_id = house.create(video_lines(2))
        for _ in range(3):
            house.driver.sweep()
        assert house.get(batch_id)["request_counts"] == {"total": 2, "completed": 0, "failed": 0}
        worker.warm_up()
        assert drive(house, worker, batch_id)["request_counts"]["completed"] == 2

    def test_a_defect_is_an_error_of_its_line(
        self, house: BatchHouse, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from server.batches import driver

        def start_line(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(driver, "start_line", start_line)
        batch_id = house.create(video_lines(1))
        drive(house, worker, batch_id)
        line = house.outcomes(batch_id, "error")["line-0"]
        assert line["response"]["status_code"] == 500


def test_a_batch_goes_through_a_bucket(
    server_settings: ServerSettings,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    worker: Worker,
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{s3_server.new_bucket()}/artifacts"
    settings = server_settings.model_copy(update={"storage_url": url})
    house = BatchHouse(TestClient(create_app(settings)))
    worker.artifacts = ArtifactStore(url)
    batch_id = house.create(video_lines(3))
    assert drive(house, worker, batch_id)["status"] == "completed"
    assert house.outcomes(batch_id).keys() == {"line-0", "line-1", "line-2"}
    assert worker.artifacts.list("batches/") == []
