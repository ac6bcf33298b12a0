"""A create request that is sent again makes no second job."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from openai import DefaultHttpxClient, OpenAI
from rq import Queue
from rq.serializers import JSONSerializer
from server_apps import Worker, create_video, two_accounts

from contract.records import Status
from server.bodies import Body
from server.dialect import validated
from server.repeats import Origin, reserve
from server.services import Services
from server.settings import ServerSettings
from server.video_request import VideoCreate

pytestmark = pytest.mark.usefixtures("worker")

BODY = {"prompt": "a red circle"}
KEY = {"idempotency-key": "order 7"}
CLIP = {"video": ("clip.mp4", b"frames")}


def tickets(worker: Worker, queue: str = "generate") -> list[str]:
    return Queue(queue, connection=worker.redis, serializer=JSONSerializer).job_ids


def test_the_same_key_and_body_is_the_same_job(api: TestClient, worker: Worker) -> None:
    first = api.post("/v1/videos", json=BODY, headers=KEY)
    worker.start(first.json()["id"])
    again = api.post("/v1/videos", data=BODY, headers=KEY)
    assert (again.status_code, again.json()["status"]) == (200, "in_progress")
    assert again.json()["id"] == first.json()["id"]
    assert tickets(worker) == [first.json()["id"]]


def test_the_same_key_with_another_body_is_422(api: TestClient, worker: Worker) -> None:
    video_id = api.post("/v1/videos", json=BODY, headers=KEY).json()["id"]
    response = api.post("/v1/videos", json=BODY | {"seed": 1}, headers=KEY)
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "idempotency_mismatch"
    assert tickets(worker) == [video_id]


def test_another_key_is_another_job(api: TestClient) -> None:
    ids = {api.post("/v1/videos", json=BODY, headers={"idempotency-key": k}).text for k in "ab"}
    assert len(ids) == 2


def test_an_upload_is_told_by_its_bytes(api: TestClient, worker: Worker) -> None:
    first, again = (api.post("/v1/captions", files=CLIP, headers=KEY) for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    other = api.post("/v1/captions", files={"video": ("clip.mp4", b"other")}, headers=KEY)
    assert other.status_code == 422
    assert tickets(worker, "understand") == [first.json()["id"]]
    assert [worker.artifacts.get(key) for key in worker.artifacts.list("uploads/")] == [b"frames"]


def test_many_at_once_make_one_job(live_url: str, worker: Worker) -> None:
    def create(_: int) -> Any:
        return httpx2.post(f"{live_url}/v1/videos", json=BODY, headers=KEY).json()["id"]

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(create, range(16)))
    assert list(ids) == tickets(worker)


def test_a_process_that_died_between_key_and_job_leaves_the_id_to_the_next(
    api: TestClient, worker: Worker, server_settings: ServerSettings
) -> None:
    services = Services.connect(server_settings)
    origin = Origin("", idempotency_key=KEY["idempotency-key"])
    fields = validated(VideoCreate, Body(dict(BODY)))
    reserved = reserve(services, origin, "generate", fields)
    services.close()
    assert tickets(worker) == []
    assert api.post("/v1/videos", json=BODY | {"seed": 1}, headers=KEY).status_code == 422
    assert api.post("/v1/videos", json=BODY, headers=KEY).json()["id"] == reserved.job_id
    assert tickets(worker) == [reserved.job_id]


def test_a_deleted_job_is_not_made_again(api: TestClient, worker: Worker) -> None:
    video_id = api.post("/v1/videos", json=BODY, headers=KEY).json()["id"]
    api.delete(f"/v1/videos/{video_id}")
    response = api.post("/v1/videos", json=BODY, headers=KEY)
    assert (response.status_code, response.json()["error"]["code"]) == (410, "gone")
    assert worker.jobs.live_ids() == set()


def test_an_id_of_the_clients_own_makes_one_job(api: TestClient, worker: Worker) -> None:
    answers = [api.put("/v1/videos/my-first_1", json=BODY) for _ in range(2)]
    assert [answer.json()["id"] for answer in answers] == ["my-first_1"] * 2
    assert tickets(worker) == ["my-first_1"]
    assert api.put("/v1/videos/my-first_1", json=BODY | {"seed": 1}).status_code == 422
    worker.complete("my-first_1", video=b"frames")
    assert api.get("/v1/videos/my-first_1/content").content == b"frames"


@pytest.mark.parametrize("video_id", ["models", "sync", "a.b", "a" * 65, "-a", "a:b", "%C3%A4"])
def test_an_id_that_cannot_be_is_refused(api: TestClient, video_id: str) -> None:
    response = api.put(f"/v1/videos/{video_id}", json=BODY)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "video_id"


def test_an_id_of_another_kind_is_taken(api: TestClient) -> None:
    caption_id = api.post("/v1/captions", files=CLIP).json()["id"]
    assert api.put(f"/v1/videos/{caption_id}", json=BODY).status_code == 422


class _LosesFirst(httpx2.HTTPTransport):
    """Sends the first request and loses its answer."""

    sent = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        self.sent += 1
        if self.sent == 1:
            response.close()
            raise httpx2.ReadTimeout("the answer was lost", request=request)
        return response


@pytest.fixture
def shaky_client(live_url: str) -> Iterator[OpenAI]:
    """A stock client whose first answer does not arrive."""
    http = DefaultHttpxClient(transport=_LosesFirst())
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused", http_client=http) as client:
        yield client


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
def test_a_retry_of_the_stock_client_makes_no_second_job(
    shaky_client: OpenAI, worker: Worker
) -> None:
    video = shaky_client.videos.create(prompt="a red circle")
    assert tickets(worker) == [video.id]
    second = shaky_client.videos.create(prompt="a red circle")
    assert tickets(worker) == [video.id, second.id]


def test_a_retry_that_overtakes_its_first_try_makes_no_second_job(
    api: TestClient, worker: Worker, server_settings: ServerSettings
) -> None:
    services = Services.connect(server_settings)
    fields = validated(VideoCreate, Body(dict(BODY)))
    first = reserve(services, Origin("", retries=0), "generate", fields)
    again = api.post("/v1/videos", json=BODY, headers={"x-stainless-retry-count": "1"})
    assert again.json()["id"] == first.job_id
    services.close()


class TestTwoKeys:
    """Two accounts on one server."""

    @pytest.fixture
    def clients(self, server_settings: ServerSettings) -> Iterator[list[TestClient]]:
        with two_accounts(server_settings) as clients:
            yield clients

    def test_an_idempotency_key_belongs_to_its_account(self, clients: list[TestClient]) -> None:
        ids = {c.post("/v1/videos", json=BODY, headers=KEY).json()["id"] for c in clients}
        assert len(ids) == 2

    def test_an_id_that_another_account_has_is_taken(self, clients: list[TestClient]) -> None:
        answers = [client.put("/v1/videos/mine", json=BODY) for client in clients]
        assert [answer.status_code for answer in answers] == [200, 422]

    def test_nobody_sees_the_jobs_of_another(self, clients: list[TestClient]) -> None:
        owner, other = clients
        ids = [create_video(client) for client in clients]
        for client, video_id in zip(clients, ids, strict=True):
            assert [v["id"] for v in client.get("/v1/videos").json()["data"]] == [video_id]
        url = f"/v1/videos/{ids[0]}"
        for method, path in (
            ("GET", url),
            ("DELETE", url),
            ("POST", f"{url}/cancel"),
            ("GET", f"{url}/content"),
            ("GET", f"{url}/events"),
        ):
            assert other.request(method, path).status_code == 404
        assert other.get(f"/v1/videos?after={ids[0]}").status_code == 400
        assert other.post("/v1/captions", json={"video_id": ids[0]}).status_code == 400
        assert owner.get(url).json()["status"] == "queued"

    def test_no_record_holds_a_key(self, clients: list[TestClient], worker: Worker) -> None:
        record = worker.jobs.get(create_video(clients[0]))
        assert record is not None
        assert record.status is Status.QUEUED
        assert record.account
        assert "first" not in record.account

    def test_a_deleted_job_leaves_no_trace_in_the_list(
        self, clients: list[TestClient], worker: Worker
    ) -> None:
        clients[0].delete(f"/v1/videos/{create_video(clients[0])}")
        assert clients[0].get("/v1/videos").json()["data"] == []
        assert list(worker.redis.scan_iter(match="univigu:jobs:*")) == []


def test_a_repeat_of_a_deleted_caption_leaves_no_upload(api: TestClient, worker: Worker) -> None:
    def send() -> httpx2.Response:
        sent = {"video": ("clip.mp4", b"x")}
        return api.post("/v1/captions", files=sent, headers={"idempotency-key": "one"})

    assert api.delete(f"/v1/captions/{send().json()['id']}").status_code == 200
    assert send().status_code == 410
    assert worker.artifacts.list("uploads/") == []
