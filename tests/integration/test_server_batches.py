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


@pytest.fixture
def house(server_settings: ServerSettings, worker: Worker) -> BatchHouse:
    return BatchHouse(TestClient(create_app(server_settings)))


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


class TestInput:
    @pytest.mark.parametrize(
        ("bad", "code", "param"),
        [
            ("{", "invalid_json", None),
            ("[1]", "invalid_json", None),
            ({"custom_id": "b", "method": "POST", "url": "/v1/videos"}, None, "body"),
            ({"method": "POST", "url": "/v1/videos", "body": {}}, None, "custom_id"),
            ({**video_lines(1)[0], "custom_id": ""}, "invalid_value", "custom_id"),
            ({**video_lines(1)[0], "custom_id": "b", "method": "GET"}, "invalid_value", "method"),
            ({**video_lines(1)[0], "custom_id": "b", "url": "/x"}, "mismatched_url", "url"),
            ({**video_lines(1)[0], "custom_id": "b", "x": 1}, "unknown_parameter", "x"),
            (video_lines(1)[0], "duplicate_custom_id", "custom_id"),
        ],
    )
    def test_a_line_that_is_no_request_fails_the_batch(
        self, house: BatchHouse, worker: Worker, bad: Any, code: str | None, param: str | None
    ) -> None:
        batch_id = house.create([*video_lines(1), "", bad])
        batch = drive(house, worker, batch_id)
        assert batch["status"] == "failed"
        assert batch["errors"]["object"] == "list"
        (error,) = batch["errors"]["data"]
        assert (error["line"], error["param"]) == (3, param)
        assert error["code"] == (code or "missing_required_parameter")
        assert worker.jobs.live_ids() == set()
        assert worker.artifacts.list("batches/") == []
        assert batch["failed_at"]

    @pytest.mark.parametrize("data", [b"", b"\n \n"])
    def test_without_lines_there_is_no_batch(
        self, house: BatchHouse, worker: Worker, data: bytes
    ) -> None:
        batch = drive(house, worker, house.create(data))
        assert batch["errors"]["data"][0]["code"] == "empty_file"

    def test_not_every_error_is_told(self, house: BatchHouse, worker: Worker) -> None:
        batch = drive(house, worker, house.create(["{"] * 100))
        assert [error["line"] for error in batch["errors"]["data"]] == list(range(1, 21))

    def test_there_is_a_limit_of_lines(self, house: BatchHouse, worker: Worker) -> None:
        batch = drive(house, worker, house.create(jsonl(video_lines(50_001))))
        assert batch["errors"]["data"][0]["code"] == "too_many_lines"

    def test_a_line_may_be_as_long_as_a_body(self, house: BatchHouse, worker: Worker) -> None:
        batch_id = house.create(video_lines(1, user="x" * 2**20))
        assert drive(house, worker, batch_id)["errors"]["data"][0]["code"] == "line_too_long"

    def test_blank_lines_and_no_end_of_the_last_one_do_not_matter(
        self, house: BatchHouse, worker: Worker
    ) -> None:
        data = b"\n" + jsonl(video_lines(2)).replace(b"\n", b"\r\n\n").rstrip()
        batch_id = house.create(data)
        batch = drive(house, worker, batch_id)
        assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 2)


class TestEnding:
    def test_a_cancelled_batch_tells_what_was_done(self, house: BatchHouse, worker: Worker) -> None:
        batch_id = house.create(video_lines(30))
        house.driver.sweep()
        house.driver.sweep()
        first = sorted(worker.jobs.live_ids())[0]
        worker.complete(first)
        running = sorted(worker.jobs.live_ids())[0]
        attempt = worker.start(running)
        assert house.api.post(f"/v1/batches/{batch_id}/cancel").json()["status"] == "cancelling"
        for _ in range(3):
            house.driver.sweep()
        # the slot has not let go yet
        assert house.get(batch_id)["status"] == "cancelling"
        worker.jobs.finish(running, attempt, Status.CANCELLED)
        house.driver.sweep()
        batch = house.get(batch_id)
        assert batch["status"] == "cancelled"
        assert batch["request_counts"] == {"total": 30, "completed": 1, "failed": 29}
        assert len(house.outcomes(batch_id)) == 1
        errors = house.outcomes(batch_id, "error")
        assert {line["error"]["code"] for line in errors.values()} == {"batch_cancelled"}
        assert all(line["response"] is None for line in errors.values())
        assert worker.jobs.live_ids() == set()

    def test_cancelled_before_it_was_looked_at(self, house: BatchHouse, worker: Worker) -> None:
        batch_id = house.create(["{", *video_lines(3)])
        house.api.post(f"/v1/batches/{batch_id}/cancel")
        house.driver.sweep()
        batch = house.get(batch_id)
        assert (batch["status"], batch["output_file_id"]) == ("cancelled", None)
        assert worker.artifacts.list("batches/") == []

    def test_an_ended_batch_stays(self, house: BatchHouse, worker: Worker) -> None:
        batch_id = house.create(video_lines(1))
        batch = drive(house, worker, batch_id)
        assert house.api.post(f"/v1/batches/{batch_id}/cancel").json() == batch

    def test_what_is_not_done_in_a_day_is_not_done(self, house: BatchHouse, worker: Worker) -> None:
        batch_id = house.create(video_lines(300))
        assert house.get(batch_id)["expires_at"] - house.get(batch_id)["created_at"] == 86_400
        house.driver.sweep()
        house.driver.sweep()
        finish_jobs(worker)
        worker.redis.hset(f"univigu:batch:{batch_id}", "expires_at", time.time() - 1)
        batch = drive(house, worker, batch_id)
        assert batch["status"] == "expired"
        assert batch["request_counts"] == {"total": 300, "completed": 8, "failed": 292}
        errors = house.outcomes(batch_id, "error")
        assert {line["error"]["code"] for line in errors.values()} == {"batch_expired"}

    def test_a_lost_input_ends_the_batch(self, house: BatchHouse, worker: Worker) -> None:
        batch_id = house.create(video_lines(30))
        house.driver.sweep()
        worker.artifacts.delete_all("batches/")
        house.driver.sweep()
        assert house.get(batch_id)["errors"]["data"][0]["code"] == "input_lost"


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


class TestKeys:
    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        limits = {
            "api_keys": "first,second",
            "max_creates_per_minute": 3,
            "max_live_jobs_per_key": 2,
            "max_storage_bytes_per_key": 100_000,
        }
        return ServerSettings(**(server_settings.model_dump() | limits))

    @pytest.fixture
    def house(self, server_settings: ServerSettings, worker: Worker) -> BatchHouse:
        client = TestClient(create_app(server_settings))
        client.headers["authorization"] = "Bearer first"
        return BatchHouse(client)

    def test_a_batch_belongs_to_its_key(self, house: BatchHouse, worker: Worker) -> None:
        batch_id = house.create(video_lines(5))
        for _ in range(3):
            house.driver.sweep()
        assert len(worker.jobs.live_ids()) == 2
        batch = drive(house, worker, batch_id)
        assert batch["request_counts"] == {"total": 5, "completed": 5, "failed": 0}
        assert len(house.api.get("/v1/videos").json()["data"]) == 5
        house.api.headers["authorization"] = "Bearer second"
        assert house.api.get("/v1/videos").json()["data"] == []
        assert house.api.get("/v1/batches").json()["data"] == []
        assert house.api.get(f"/v1/batches?after={batch_id}").status_code == 400
        for method, path in (("GET", ""), ("POST", "/cancel")):
            assert house.api.request(method, f"/v1/batches/{batch_id}{path}").status_code == 404
        files = (batch["input_file_id"], batch["output_file_id"])
        assert [house.api.get(f"/v1/files/{f}").status_code for f in files] == [404, 404]
        body = {
            "input_file_id": batch["input_file_id"],
            "endpoint": "/v1/videos",
            "completion_window": "24h",
        }
        assert house.api.post("/v1/batches", json=body).status_code == 400

    def test_a_line_that_finds_no_storage_left_does_not_wait_for_it(
        self, house: BatchHouse, worker: Worker
    ) -> None:
        data = jsonl(video_lines(2))
        batch_id = house.create(data)
        house.keep(bytes(100_000 - 2 * len(data)))
        batch = drive(house, worker, batch_id)
        assert batch["request_counts"]["failed"] == 2
        line = house.outcomes(batch_id, "error")["line-0"]
        assert line["response"]["body"]["error"]["code"] == "storage_quota_exceeded"

    def test_its_input_counts_until_it_has_ended(self, house: BatchHouse, worker: Worker) -> None:
        def stored() -> int:
            return int(house.api.get("/v1/usage").json()["storage_bytes"])

        data = jsonl(video_lines(1)) + b" " * 40_000
        batch_id = house.create(data)
        assert stored() == 2 * len(data)
        body = {
            "input_file_id": house.get(batch_id)["input_file_id"],
            "endpoint": "/v1/videos",
            "completion_window": "24h",
        }
        refused = house.api.post("/v1/batches", json=body)
        assert refused.json()["error"]["code"] == "storage_quota_exceeded"
        assert len(worker.artifacts.list("batches/")) == 1
        drive(house, worker, batch_id)
        assert stored() < 1.5 * len(data)


class TestCreate:
    def test_a_repeated_request_makes_one_batch(self, house: BatchHouse) -> None:
        body = {
            "input_file_id": house.keep(jsonl(video_lines(1))),
            "endpoint": "/v1/videos",
            "completion_window": "24h",
        }
        for headers in ({"x-stainless-retry-count": "1"}, {"idempotency-key": "k"}):
            answers = [
                house.api.post("/v1/batches", json=body, headers=headers).json() for _ in range(2)
            ]
            assert answers[0] == answers[1]
        assert len(house.api.get("/v1/batches").json()["data"]) == 2

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"input_file_id": "file-none"}, "input_file_id"),
            ({"endpoint": "/v1/responses"}, "endpoint"),
            ({"completion_window": "1h"}, "completion_window"),
            ({"metadata": {"k": 1}}, "metadata.k"),
            ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
            ({"output_expires_after": {"anchor": "created_at"}}, "output_expires_after.seconds"),
            ({"model": "univigu"}, "model"),
        ],
    )
    def test_what_is_no_batch_is_refused_by_name(
        self, house: BatchHouse, fields: dict[str, Any], param: str
    ) -> None:
        body = {
            "input_file_id": house.keep(jsonl(video_lines(1))),
            "endpoint": "/v1/videos",
            "completion_window": "24h",
        }
        response = house.api.post("/v1/batches", json=body | fields)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == param
        assert house.api.get("/v1/batches").json()["data"] == []

    def test_a_file_for_something_else_is_no_input(self, house: BatchHouse) -> None:
        sent = {"files": {"file": b"{}"}, "data": {"purpose": "user_data"}}
        file_id = house.api.post("/v1/files", **sent).json()["id"]  # type: ignore[arg-type]
        body = {
            "input_file_id": file_id,
            "endpoint": "/v1/videos",
            "completion_window": "24h",
        }
        error = house.api.post("/v1/batches", json=body).json()["error"]
        assert "'user_data'; it must be 'batch'" in error["message"]

    def test_a_file_that_the_store_has_lost_is_no_input(
        self, house: BatchHouse, worker: Worker
    ) -> None:
        body = {
            "input_file_id": house.keep(b"{}"),
            "endpoint": "/v1/videos",
            "completion_window": "24h",
        }
        worker.artifacts.delete_all("files/")
        answer = house.api.post("/v1/batches", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input_file_id")

    def test_a_batch_that_is_not_there_is_404(self, house: BatchHouse, worker: Worker) -> None:
        assert house.api.get("/v1/batches/batch_none").status_code == 404
        batch_id = house.create(
            [*video_lines(2), {**video_lines(1, size="1x1")[0], "custom_id": "bad"}]
        )
        for _ in range(3):
            house.driver.sweep()
            finish_jobs(worker)
        for part in ("lines", "outputs", "errors"):
            assert house.api.get(f"/v1/batches/{batch_id}:{part}").status_code == 404


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
