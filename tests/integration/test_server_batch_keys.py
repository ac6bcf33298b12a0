"""What a key may do with batches, and what becomes of them without it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from batch_house import BatchHouse, drive, jsonl, video_lines
from fastapi.testclient import TestClient
from server_apps import Worker
from worker_house import until

from contract.batch_records import BatchStatus
from contract.keys import KeyStore, parse_scopes
from server.app import create_app
from server.settings import ServerSettings


@pytest.fixture
def keys(worker: Worker) -> KeyStore:
    return KeyStore(worker.redis)


@pytest.fixture
def client_of(server_settings: ServerSettings, keys: KeyStore) -> Callable[..., BatchHouse]:
    """A function that makes a key; returns a client with it, whose `account` is that key."""

    def create(**limits: int) -> BatchHouse:
        key, secret = keys.create("test", parse_scopes(()), **limits)
        house = BatchHouse(TestClient(create_app(server_settings)))
        house.api.headers["authorization"] = f"Bearer {secret}"
        house.account = key.id
        return house

    return create


class TestRevoked:
    """A revoked key has nothing done any more."""

    def ended(self, house: BatchHouse, batch_id: str) -> BatchStatus:
        batches = house.api.app.state.services.batches

        def look():
            house.driver.sweep()
            status = batches.get(batch_id).status
            return status if status not in ("validating", "in_progress", "cancelling") else None

        return until(look)

    def test_its_batch_is_cancelled_with_the_jobs_that_wait(
        self, client_of, keys: KeyStore, worker: Worker
    ) -> None:
        house, other = client_of(), client_of()
        batch_id, others = house.create(video_lines(30)), other.create(video_lines(2))
        house.driver.sweep()
        house.driver.sweep()
        assert len(worker.jobs.list_ids("generate", 99, None, True, house.account)) > 0
        keys.revoke(house.account)
        assert self.ended(house, batch_id) is BatchStatus.CANCELLED
        left = worker.jobs.list_ids("generate", 99, None, True, house.account, ["queued"])
        assert left == []
        assert drive(other, worker, others)["request_counts"]["completed"] == 2

    def test_one_that_was_not_looked_at_starts_nothing(
        self, client_of, keys: KeyStore, worker: Worker
    ) -> None:
        house = client_of()
        batch_id = house.create(video_lines(3))
        keys.revoke(house.account)
        until(lambda: house.api.get("/v1/videos").status_code == 401)
        assert self.ended(house, batch_id) is BatchStatus.CANCELLED
        assert worker.jobs.live_ids() == set()


class TestLimit:
    """A key has so many batches under way, and no more."""

    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        return server_settings.model_copy(update={"max_live_batches_per_key": 2})

    def request(self, house: BatchHouse) -> dict[str, str]:
        file_id = house.keep(jsonl(video_lines(1)))
        return {"input_file_id": file_id, "endpoint": "/v1/videos", "completion_window": "24h"}

    def test_one_more_is_refused_until_one_has_ended(self, client_of, worker: Worker) -> None:
        house, other = client_of(), client_of()
        made = [house.create(video_lines(1)) for _ in range(2)]
        refused = house.api.post("/v1/batches", json=self.request(house))
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_batches")
        assert refused.headers["x-ratelimit-limit-batches"] == "2"
        assert refused.headers["x-ratelimit-remaining-batches"] == "0"
        assert int(refused.headers["retry-after"]) > 0
        assert len(worker.artifacts.list("batches/")) == 2
        other.create(video_lines(1))
        usage = house.api.get("/v1/usage").json()
        assert (usage["live_batches"], usage["max_live_batches"]) == (2, 2)
        drive(house, worker, made[0])
        house.create(video_lines(1))

    def test_many_at_once_do_not_pass_the_limit(self, client_of, worker: Worker) -> None:
        house = client_of()
        body = self.request(house)

        def create(_: int) -> int:
            return int(house.api.post("/v1/batches", json=body).status_code)

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(create, range(12))) == [200] * 2 + [429] * 10
        assert len(worker.artifacts.list("batches/")) == 2

    def test_a_repeat_needs_no_room(self, client_of) -> None:
        house = client_of(max_live_batches=1)
        body, key = self.request(house), {"idempotency-key": "order 7"}
        first = house.api.post("/v1/batches", json=body, headers=key).json()["id"]
        assert house.api.post("/v1/batches", json=body).status_code == 429
        assert house.api.post("/v1/batches", json=body, headers=key).json()["id"] == first


class TestShare:
    """A batch is its key's alone, and within its limits."""

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
