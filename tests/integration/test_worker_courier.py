"""Webhooks on their way: to real receivers, past failures and dead couriers, and nowhere else."""

import ssl
import threading
from collections import Counter
from pathlib import Path

import pytest
import redis
from webhook_receivers import (
    REQUEST,
    Receiver,
    answer_names,
    end_job,
    ended,
    self_signed,
    serve,
)
from worker_house import until

from contract import delivery_records
from contract.deliveries import DeliveryStore
from contract.errors import ErrorInfo
from contract.jobs import JobStore
from contract.outbox import OUTBOX_KEY
from contract.records import Status
from contract.webhooks import EVENT_TYPES, EndpointStore


class TestWhoIsTold:
    """Events go to those who asked for them."""

    def test_an_account_hears_of_its_own_jobs_and_of_what_it_asked_for(
        self, connection: redis.Redis, receiver: Receiver, start_courier
    ) -> None:
        store = EndpointStore(connection)
        store.create("a", "ends", receiver.url, ["video.completed", "video.cancelled"])
        store.create("b", "others", receiver.url, ["video.completed"])
        end_job(connection, "video_a", Status.COMPLETED, account="a")
        end_job(connection, "video_b", Status.FAILED, account="a")
        end_job(connection, "video_c", Status.CANCELLED, account="a")
        start_courier()
        assert len(ended(DeliveryStore(connection), "a")) == 2
        told = sorted((event["data"]["id"], event["type"]) for event in receiver.events())
        assert told == [("video_a", "video.completed"), ("video_c", "video.cancelled")]
        assert DeliveryStore(connection).page("b", 10) == []

    def test_where_nobody_listens_nothing_is_written(self, connection: redis.Redis) -> None:
        end_job(connection, "video_1", Status.COMPLETED, account="a")
        assert connection.xlen(OUTBOX_KEY) == 0

    def test_a_job_cancelled_before_it_started_or_given_up_is_told_too(
        self, connection: redis.Redis, receiver: Receiver, start_courier
    ) -> None:
        EndpointStore(connection).create("", "all", receiver.url, list(EVENT_TYPES))
        jobs = JobStore(connection)
        for job_id in ("video_1", "video_2"):
            with connection.pipeline() as pipeline:
                jobs.create(job_id, REQUEST, pipeline)
                pipeline.execute()
        jobs.cancel("video_1")
        jobs.abandon("video_2", 0, ErrorInfo(code="worker_lost", message="gone"))
        start_courier()
        ended(DeliveryStore(connection))
        assert {event["type"] for event in receiver.events()} == {"video.cancelled", "video.failed"}


class TestFailures:
    """Tries, and their log."""

    def test_a_receiver_that_fails_is_tried_again_with_the_same_id(
        self, connection: redis.Redis, receiver: Receiver, start_courier, patience
    ) -> None:
        receiver.statuses = [500, 302, 429]
        end_job(connection, "video_1", Status.COMPLETED, webhook_url=receiver.url)
        start_courier()
        (delivery,) = ended(DeliveryStore(connection))
        assert delivery.status == "delivered"
        assert [each.status_code for each in delivery.tries] == [500, 302, 429, 200]
        assert delivery.tries[0].error == "the receiver answered 500"
        assert len({headers["webhook-id"] for headers, _ in receiver.messages}) == 1
        assert len({body for _, body in receiver.messages}) == 1

    def test_it_is_given_up_after_the_last_try_and_can_be_asked_for_again(
        self, connection: redis.Redis, receiver: Receiver, start_courier, patience
    ) -> None:
        receiver.statuses = [503] * (len(patience) + 1)
        end_job(connection, "video_1", Status.COMPLETED, webhook_url=receiver.url)
        start_courier()
        store = DeliveryStore(connection)
        (delivery,) = ended(store)
        assert (delivery.status, len(delivery.tries)) == ("failed", len(patience) + 1)
        store.redeliver(delivery)
        until(lambda: store.get(delivery.id).status == "delivered")
        assert receiver.messages[-1][1] == receiver.messages[0][1]

    def test_the_waits_grow_to_three_days_in_all(self) -> None:
        waits = delivery_records.BACKOFF_SECONDS
        assert list(waits) == sorted(waits)
        assert 72 * 3600 <= sum(waits) < delivery_records.KEEP_SECONDS

    def test_a_receiver_that_is_gone_is_left_alone(
        self, connection: redis.Redis, receiver: Receiver, start_courier
    ) -> None:
        receiver.statuses = [410]
        end_job(connection, "video_1", Status.COMPLETED, webhook_url=receiver.url)
        start_courier()
        (delivery,) = ended(DeliveryStore(connection))
        assert (delivery.status, len(delivery.tries)) == ("failed", 1)

    def test_what_waits_for_a_deleted_endpoint_is_not_sent(
        self, connection: redis.Redis, receiver: Receiver, start_courier
    ) -> None:
        store, endpoints = DeliveryStore(connection), EndpointStore(connection)
        endpoint = endpoints.create("a", "mine", receiver.url, ["video.completed"])
        end_job(connection, "video_1", Status.COMPLETED, account="a")
        store.plan()
        endpoints.delete(endpoint)
        start_courier()
        (delivery,) = ended(store, "a")
        assert (delivery.status, len(delivery.tries)) == ("failed", 1)
        assert "was deleted" in delivery.tries[0].error
        assert receiver.messages == []

    def test_a_courier_that_died_in_the_middle_loses_nothing(
        self, connection: redis.Redis, receiver: Receiver, start_courier
    ) -> None:
        end_job(connection, "video_1", Status.COMPLETED, webhook_url=receiver.url)
        store = DeliveryStore(connection)
        store.plan()
        assert len(store.claim(10, lease_seconds=0.5)) == 1  # and never heard of again
        assert store.claim(10, lease_seconds=0.5) == []
        start_courier()
        assert ended(store)[0].status == "delivered"

    def test_an_event_is_planned_once_by_many(self, connection: redis.Redis) -> None:
        EndpointStore(connection).create("", "mine", "https://example.org", ["video.completed"])
        for number in range(20):
            end_job(connection, f"video_{number}", Status.COMPLETED)
        threads = [
            threading.Thread(target=DeliveryStore(connection).plan, args=[100]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(DeliveryStore(connection).page("", 100)) == 20
        assert connection.xlen(OUTBOX_KEY) == 0

    def test_a_slow_receiver_holds_up_nobody_else(
        self, connection: redis.Redis, receiver: Receiver, start_courier
    ) -> None:
        receiver.gate.clear()
        end_job(connection, "video_slow", Status.COMPLETED, webhook_url=receiver.url)
        start_courier()
        until(lambda: receiver.messages)
        with serve() as other:
            end_job(connection, "video_quick", Status.COMPLETED, webhook_url=other.url)
            until(lambda: other.messages, 5)
        store = DeliveryStore(connection)
        (slow,) = (each for each in store.page("", 9) if each.url == receiver.url)
        assert slow.tries == []

    def test_an_account_with_many_slow_receivers_leaves_room_for_others(
        self, connection: redis.Redis
    ) -> None:
        for number in range(30):
            account = "slow" if number else "quick"
            url = "https://example.org"
            end_job(connection, f"video_{number}", Status.FAILED, account=account, webhook_url=url)
        store = DeliveryStore(connection)
        store.plan()
        taken = store.claim(20, 60, limit_per_account=5, under_way={"slow": 2})
        assert Counter(each.account for each in taken) == {"slow": 3, "quick": 1}
        again = store.claim(20, 60, limit_per_account=5, under_way={"slow": 5, "quick": 1})
        assert again == []
        assert len(store.claim(20, 60)) == 20


class TestAddresses:
    """Where a webhook does not go."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]"])
    def test_a_private_address_is_not_called(
        self, connection: redis.Redis, receiver: Receiver, start_courier, host: str
    ) -> None:
        url = receiver.url.replace("127.0.0.1", host).replace("http:", "https:")
        end_job(connection, "video_1", Status.COMPLETED, webhook_url=url)
        start_courier(allow_private=False)
        store = DeliveryStore(connection)
        until(lambda: (found := store.page("", 1)) and found[0].tries)
        assert "not a public address" in store.page("", 1)[0].tries[0].error
        assert receiver.messages == []

    @pytest.mark.parametrize("name", ["hooks.example", "other.example"])
    def test_the_certificate_is_checked_against_the_name_and_not_the_address(
        self, connection: redis.Redis, start_courier, monkeypatch, tmp_path: Path, name: str
    ) -> None:
        certificate = self_signed(tmp_path, "hooks.example")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        answer_names(monkeypatch, {name: ["127.0.0.1"]})
        with serve(tls) as receiver:
            url = receiver.url.replace("http://127.0.0.1", f"https://{name}")
            end_job(connection, "video_1", Status.COMPLETED, webhook_url=url)
            start_courier()
            store = DeliveryStore(connection)
            until(lambda: (found := store.page("", 1)) and found[0].tries)
            (done,) = store.page("", 1)[0].tries
        if name == "hooks.example":
            assert (done.status_code, done.error) == (200, None)
        else:
            assert "certificate" in done.error
            assert receiver.messages == []

    def test_the_next_address_is_tried_where_nobody_listens_at_the_first(
        self, connection: redis.Redis, receiver: Receiver, start_courier, monkeypatch
    ) -> None:
        answer_names(monkeypatch, {"hooks.example": ["127.0.0.2", "127.0.0.1"]})
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        end_job(connection, "video_1", Status.COMPLETED, webhook_url=url)
        start_courier()
        assert ended(DeliveryStore(connection))[0].status == "delivered"

    def test_the_connection_goes_to_the_address_that_was_checked(
        self, connection: redis.Redis, receiver: Receiver, start_courier, monkeypatch
    ) -> None:
        """A name that answers differently the second time gains nothing: it is not asked twice."""
        port = receiver.url.split(":")[2]
        asked = answer_names(monkeypatch, {"rebinding.example": ["127.0.0.1"]})
        url = f"http://rebinding.example:{port}"
        end_job(connection, "video_1", Status.COMPLETED, webhook_url=url)
        start_courier()
        assert ended(DeliveryStore(connection))[0].status == "delivered"
        assert receiver.messages[0][0]["host"] == f"rebinding.example:{port.split('/')[0]}"
        assert asked == ["rebinding.example"]
