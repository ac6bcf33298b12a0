"""How a batch ends that is not done to its last line."""

import time

from batch_house import BatchHouse, drive, finish_jobs, video_lines
from server_apps import Worker

from contract.records import Status


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
