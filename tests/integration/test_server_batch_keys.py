"""What a key may do with batches, and what becomes of them without it."""

from collections.abc import Callable

import pytest
from batch_house import BatchHouse, drive, video_lines
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
