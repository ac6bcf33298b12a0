"""Signatures of webhooks, as their receivers check them."""

import base64
import hashlib
import hmac
import json

import redis
from openai import OpenAI
from standardwebhooks import Webhook
from webhook_receivers import Receiver, end_job, ended
from worker_house import until

from contract.deliveries import DeliveryStore
from contract.records import Status
from contract.webhooks import DEFAULT_ID, EndpointStore


def test_both_known_clients_accept_a_message(
    connection: redis.Redis, receiver: Receiver, start_courier
) -> None:
    endpoint = EndpointStore(connection).create("a", "mine", receiver.url, ["video.completed"])
    end_job(connection, "video_1", Status.COMPLETED, account="a")
    start_courier()
    until(lambda: receiver.messages)
    headers, body = receiver.messages[0]
    Webhook(endpoint.secret).verify(body, headers)
    with OpenAI(api_key="unused", webhook_secret=endpoint.secret) as client:
        event = client.webhooks.unwrap(body, headers)
    assert event.type == "video.completed"
    assert event.data.id == "video_1"
    assert headers["webhook-id"] == event.id
    assert headers["host"] == receiver.url.split("/")[2]
    assert headers["content-type"] == "application/json"


def test_after_a_rotation_both_secrets_sign_until_the_old_one_ends(connection: redis.Redis) -> None:
    store = EndpointStore(connection)
    first = store.create("a", "mine", "https://example.org", ["video.completed"])
    rotated = store.rotate(first, keep_seconds=100)
    assert rotated.secret != first.secret
    now = int(rotated.updated_at)
    assert expected(first.secret, now) in rotated.signature("evt_1", now, "{}").split()
    assert expected(rotated.secret, now) in rotated.signature("evt_1", now, "{}").split()
    later = now + 101
    assert rotated.signature("evt_1", later, "{}") == expected(rotated.secret, later)
    at_once = store.rotate(rotated, keep_seconds=0)
    assert at_once.signature("evt_1", now, "{}") == expected(at_once.secret, now)


def test_a_change_undoes_no_other_one(connection: redis.Redis) -> None:
    store = EndpointStore(connection)
    seen = store.create("a", "mine", "https://example.org", ["video.completed"])
    rotated = store.rotate(seen, keep_seconds=0)
    assert store.change(seen, name="yours").secret == rotated.secret
    found = store.get("a", seen.id)
    assert found is not None
    assert (found.name, found.secret) == ("yours", rotated.secret)
    store.delete(found)
    store.change(seen, name="theirs")
    assert store.get("a", seen.id) is None


def test_the_url_of_a_single_job_is_signed_with_the_accounts_default_secret(
    connection: redis.Redis, receiver: Receiver, start_courier
) -> None:
    end_job(connection, "video_1", Status.FAILED, account="a", webhook_url=receiver.url)
    end_job(connection, "video_2", Status.FAILED, account="a")
    start_courier()
    (delivery,) = ended(DeliveryStore(connection), "a")
    default = EndpointStore(connection).get("a", DEFAULT_ID)
    headers, body = receiver.messages[0]
    Webhook(default.secret).verify(body, headers)
    assert json.loads(body)["type"] == "video.failed"
    assert delivery.endpoint_id == DEFAULT_ID
    assert EndpointStore(connection).all("a") == []


def expected(secret: str, at: int) -> str:
    """Return the signature by the words of the specification."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"evt_1.{at}.{{}}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
