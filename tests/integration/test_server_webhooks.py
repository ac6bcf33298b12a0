"""Webhooks as clients set them up, with OpenAI's client and without."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from openai import BadRequestError, OpenAI
from server_apps import Worker, create_video
from standardwebhooks import Webhook
from webhook_receivers import Receiver
from worker_house import until

from contract.webhooks import MAX_ENDPOINTS
from server.app import create_app
from server.settings import ServerSettings

ENDPOINTS, DELIVERIES = "/v1/webhook_endpoints", "/v1/webhook_deliveries"


@pytest.fixture
def server_settings(server_settings: ServerSettings) -> ServerSettings:
    return server_settings.model_copy(update={"allow_private_urls": True})


@pytest.fixture
def client(live_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def register(api: TestClient, url: str, *event_types: str, **fields: object) -> dict:
    body = {"name": "mine", "url": url, "event_types": event_types or ["video.completed"]}
    answer = api.post(ENDPOINTS, json=body | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def delivered(api: TestClient) -> list[dict]:
    """Return the deliveries once there are some and none is pending."""

    def all_over():
        data = api.get(DELIVERIES).json()["data"]
        return data if data and all(each["status"] != "pending" for each in data) else None

    return until(all_over)


class TestStockClient:
    """`client.webhooks` of the `openai` package."""

    def test_it_creates_reads_lists_changes_and_deletes_endpoints(self, client: OpenAI) -> None:
        hooks = client.webhooks
        made = [
            hooks.create(name=f"n{i}", url=f"http://127.0.0.1/{i}", event_types=["video.failed"])
            for i in range(3)
        ]
        assert made[0].signing_secret.startswith("whsec_")
        assert [each.id for each in hooks.list(limit=2)] == [each.id for each in reversed(made)]
        read = hooks.retrieve(made[0].id)
        assert (read.name, read.url, read.event_types) == (
            "n0",
            "http://127.0.0.1/0",
            ["video.failed"],
        )
        assert "signing_secret" not in (read.model_extra or {})
        changed = hooks.update(made[0].id, event_types=["batch.completed"])
        assert (changed.name, changed.event_types) == ("n0", ["batch.completed"])
        assert hooks.delete(made[0].id).deleted
        assert len(hooks.list().data) == 2
        assert "caption.completed" in hooks.event_types.list().data

    def test_a_sample_is_answered_with_the_receivers_status(
        self, client: OpenAI, receiver: Receiver, start_courier
    ) -> None:
        start_courier()
        made = client.webhooks.create(
            name="mine", url=receiver.url, event_types=["video.completed"]
        )
        receiver.statuses = [418]
        result = client.webhooks.test(made.id, event_type="video.completed")
        assert (result.status_code, result.success) == (418, True)
        headers, body = receiver.messages[0]
        event = client.webhooks.unwrap(body, headers, secret=made.signing_secret)
        assert (event.type, event.data.id) == ("video.completed", "video_test")
        client.webhooks.update(made.id, url="http://127.0.0.1:9/")
        with pytest.raises(BadRequestError, match=r"127\.0\.0\.1:9"):
            client.webhooks.test(made.id, event_type="video.completed")

    def test_a_rotated_secret_replaces_or_joins_the_old_one(
        self, client: OpenAI, receiver: Receiver, start_courier
    ) -> None:
        start_courier()
        hooks = client.webhooks
        first = hooks.create(name="mine", url=receiver.url, event_types=["video.completed"])
        second = hooks.rotate_secret(first.id, keep_old_secret_active_for_24_hours=True)
        hooks.test(first.id, event_type="video.completed")
        headers, body = receiver.messages[-1]
        for secret in (first.signing_secret, second.signing_secret):
            hooks.verify_signature(body, headers, secret=secret)
        third = hooks.rotate_secret(first.id)
        hooks.test(first.id, event_type="video.completed")
        headers, body = receiver.messages[-1]
        hooks.verify_signature(body, headers, secret=third.signing_secret)
        assert len(headers["webhook-signature"].split()) == 1


class TestJobs:
    """From the end of a job to its receivers."""

    @pytest.mark.parametrize("name", ["webhook_url", "callback_url"])
    @pytest.mark.parametrize("send", ["json", "data"])
    def test_a_job_names_its_own_receiver(
        self, api: TestClient, worker: Worker, receiver: Receiver, start_courier, name, send
    ) -> None:
        secret = api.post(f"{ENDPOINTS}/default/rotate_secret").json()["signing_secret"]
        body = {"prompt": "a red circle", name: receiver.url}
        video_id = api.post("/v1/videos", **{send: body}).json()["id"]
        worker.complete(video_id, video=b"frames")
        start_courier()
        (delivery,) = delivered(api)
        assert delivery["webhook_endpoint_id"] == "default"
        assert delivery["url"] == receiver.url
        headers, sent = receiver.messages[0]
        assert Webhook(secret).verify(sent, headers)["data"] == {"id": video_id}

    def test_a_caption_has_events_of_its_own(
        self, api: TestClient, worker: Worker, receiver: Receiver, start_courier
    ) -> None:
        register(api, receiver.url, "caption.completed")
        answer = api.post("/v1/captions", files={"video": ("clip.mp4", b"frames")})
        worker.complete(answer.json()["id"])
        worker.complete(create_video(api), video=b"frames")
        start_courier()
        (delivery,) = delivered(api)
        assert delivery["event_type"] == "caption.completed"
        assert receiver.events()[0]["data"]["id"] == answer.json()["id"]

    def test_the_log_shows_every_try_and_a_delivery_can_be_repeated(
        self, api: TestClient, worker: Worker, receiver: Receiver, start_courier
    ) -> None:
        receiver.statuses = [410]
        endpoint = register(api, receiver.url)
        worker.complete(create_video(api), video=b"frames")
        start_courier()
        (delivery,) = delivered(api)
        assert (delivery["status"], delivery["url"]) == ("failed", receiver.url)
        assert delivery["webhook_endpoint_id"] == endpoint["id"]
        assert [each["status_code"] for each in delivery["tries"]] == [410]
        answer = api.post(f"{DELIVERIES}/{delivery['id']}/redeliver").json()
        assert answer["status"] == "pending"
        (again,) = delivered(api)
        assert again["status"] == "delivered"
        assert again == api.get(f"{DELIVERIES}/{delivery['id']}").json()
        ids = {headers["webhook-id"] for headers, _ in receiver.messages}
        assert ids == {delivery["event_id"]}
        assert len(receiver.messages) == 2


class TestRefusals:
    """What cannot be registered, and who may not look."""

    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        return server_settings.model_copy(update={"allow_private_urls": False})

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://example.org/hook", "allowed: https://HOST"),
            ("https://127.0.0.1/hook", "not a public address"),
            ("https://localhost/hook", "not a public address"),
            ("https://169.254.169.254/latest", "not a public address"),
            ("https://[::ffff:10.0.0.1]/", "not a public address"),
            ("https://user:secret@8.8.8.8/", "a user name or a password"),
            ("https://8.8.8.8:99999/", "Port out of range"),
            ("https://no-such-host.invalid/", "does not resolve"),
            ("ftp://8.8.8.8/", "allowed: https://HOST"),
            ("/hook", "allowed: https://HOST"),
            ("https://8.8.8.8/" + "x" * 2048, "allowed: 2048"),
        ],
    )
    def test_a_url_that_webhooks_may_not_go_to(
        self, api: TestClient, worker: Worker, url: str, words: str
    ) -> None:
        body = {"name": "mine", "url": url, "event_types": ["video.completed"]}
        video = {"prompt": "a red circle", "webhook_url": url}
        for path, sent, param in ((ENDPOINTS, body, "url"), ("/v1/videos", video, "webhook_url")):
            answer = api.post(path, json=sent)
            assert answer.status_code == 400
            error = answer.json()["error"]
            assert error["param"] == param
            assert words in error["message"] or len(url) > 2048
        assert api.get("/v1/videos").json()["data"] == []

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"event_types": ["video.started"]}, "event_types.0"),
            ({"event_types": []}, "event_types"),
            ({"name": ""}, "name"),
            ({"name": None}, "name"),
            ({"secret": "x"}, "secret"),
            ({"url": ""}, "url"),
        ],
    )
    def test_another_wrong_field_is_named(self, api: TestClient, change, param: str) -> None:
        body = {"name": "mine", "url": "https://8.8.8.8/", "event_types": ["video.completed"]}
        answer = api.post(ENDPOINTS, json=body | change)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)

    @pytest.mark.parametrize(
        ("sent", "status", "code"),
        [
            (b"{", 400, "invalid_json"),
            (b"[]", 400, "invalid_json"),
            (b'"%s"' % (b"x" * 2**20), 413, "request_too_large"),
        ],
    )
    @pytest.mark.parametrize("path", ["", "/default/rotate_secret"])
    def test_a_body_that_is_no_small_object_is_refused(
        self, api: TestClient, path: str, sent: bytes, status: int, code: str
    ) -> None:
        headers = {"content-type": "application/json"}
        answer = api.post(ENDPOINTS + path, content=sent, headers=headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, None)

    def test_an_endpoint_keeps_its_url(self, api: TestClient) -> None:
        made = register(api, "https://8.8.8.8/")
        answer = api.post(f"{ENDPOINTS}/{made['id']}", json={"url": ""})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "url")
        assert api.get(f"{ENDPOINTS}/{made['id']}").json()["url"] == "https://8.8.8.8/"

    def test_there_is_a_limit_on_endpoints(self, api: TestClient) -> None:
        for _ in range(MAX_ENDPOINTS):
            register(api, "https://8.8.8.8/")
        body = {"name": "mine", "url": "https://8.8.8.8/", "event_types": ["video.completed"]}
        answer = api.post(ENDPOINTS, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "too_many_endpoints")

    def test_default_has_no_url_to_change_or_test(self, api: TestClient) -> None:
        assert api.get(f"{ENDPOINTS}/default").json()["url"] == ""
        for answer in (
            api.delete(f"{ENDPOINTS}/default"),
            api.post(f"{ENDPOINTS}/default", json={"name": "x"}),
            api.post(f"{ENDPOINTS}/default/test", json={"event_type": "video.failed"}),
        ):
            assert answer.status_code == 400

    def test_one_key_sees_nothing_of_another(self, server_settings: ServerSettings) -> None:
        settings = ServerSettings(**dict(server_settings) | {"api_keys": ("first", "second")})
        with TestClient(create_app(settings)) as api:
            api.headers["authorization"] = "Bearer first"
            endpoint = register(api, "https://8.8.8.8/")
            api.headers["authorization"] = "Bearer second"
            assert api.get(ENDPOINTS).json()["data"] == []
            path = f"{ENDPOINTS}/{endpoint['id']}"
            assert api.get(path).status_code == 404
            assert api.delete(path).status_code == 404
            assert api.post(f"{path}/rotate_secret").status_code == 404
            assert api.get(f"{DELIVERIES}/whd_nothing").status_code == 404
            assert api.get(DELIVERIES, params={"after": "whd_nothing"}).status_code == 404
