"""Webhooks from a whole worker: a job ends in a slot, and a killed janitor loses no message."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from webhook_receivers import Receiver
from worker_house import House, until

from contract.deliveries import DeliveryStore
from contract.webhooks import EndpointStore


@pytest.fixture
def house(redis_url: str, tmp_path: Path) -> Iterator[House]:
    made = House(redis_url, tmp_path, allow_private_urls=True, generate_slots=1, understand_slots=0)
    made.start()
    yield made
    made.close()


def let_lease_pass(connection: redis.Redis, delivery_id: str) -> None:
    """Bring forward the time at which a delivery is anybody's again."""
    due = {delivery_id: time.time()}
    assert connection.zadd("univigu:deliveries:due:", due, xx=True, ch=True) == 1


def test_a_message_that_was_under_way_as_its_janitor_died_arrives(
    house: House, connection: redis.Redis, receiver: Receiver
) -> None:
    EndpointStore(connection).create("", "mine", receiver.url, ["video.completed"])
    receiver.gate.clear()
    job_id = house.generate()
    until(lambda: receiver.messages)
    janitor = house.child("worker.janitor")
    janitor.kill()
    janitor.wait(10)
    receiver.gate.set()
    store = DeliveryStore(connection)
    let_lease_pass(connection, store.page("", 1)[0].id)
    until(lambda: store.page("", 1)[0].status == "delivered", 60)
    first, second = receiver.messages
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert first[1] == second[1]
    assert receiver.events()[0]["data"] == {"id": job_id}
    # the slot was done with the job long before, whoever had to wait
    assert house.completed(job_id).attempt == 1
