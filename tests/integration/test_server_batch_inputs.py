"""What is no batch, and why: files that cannot be read, and requests that are refused."""

from typing import Any

import pytest
from batch_house import BatchHouse, drive, finish_jobs, jsonl, video_lines
from server_apps import Worker


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
