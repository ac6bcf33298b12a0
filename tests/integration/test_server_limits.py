"""What one key may ask for, and that the next key is not held up by it."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from openai import OpenAI, RateLimitError
from server_apps import Worker, create_video, two_accounts

from contract.keys import KeyStore, parse_scopes
from server.key_ring import KeyRing
from server.settings import ServerSettings

pytestmark = pytest.mark.usefixtures("worker")

BODY = {"prompt": "a red circle"}
#: no test lasts long enough for another one
PER_MINUTE = 3


class TestRate:
    """Creates per minute."""

    @pytest.fixture
    def clients(self, server_settings: ServerSettings) -> Iterator[list[TestClient]]:
        with two_accounts(server_settings, max_creates_per_minute=PER_MINUTE) as clients:
            yield clients

    def test_answers_say_what_is_left_until_nothing_is(self, clients: list[TestClient]) -> None:
        answers = [clients[0].post("/v1/videos", json=BODY) for _ in range(PER_MINUTE)]
        assert [answer.status_code for answer in answers] == [200] * PER_MINUTE
        name = "x-ratelimit-remaining-requests"
        assert [answer.headers[name] for answer in answers] == ["2", "1", "0"]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "3"
        assert answers[0].headers["x-ratelimit-reset-requests"] == "20s"
        refused = clients[0].post("/v1/videos", json=BODY)
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert refused.headers[name] == "0"
        assert 0 < int(refused.headers["retry-after"]) <= 20

    def test_a_limit_is_never_looked_up_on_the_event_loop(
        self, api: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit, looks = KeyRing.limit, list[bool]()

        def watched(ring: KeyRing, *args: object) -> int | None:
            looks.append(asyncio._get_running_loop() is not None)
            return limit(ring, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(KeyRing, "limit", watched)
        _, secret = KeyStore(worker.redis).create("a", parse_scopes(()), max_creates_per_minute=1)
        api.headers["authorization"] = f"Bearer {secret}"
        statuses = [api.post("/v1/videos", json=BODY).status_code for _ in range(2)]
        assert statuses == [200, 429]
        assert looks
        assert not any(looks)

    def test_another_key_has_a_share_of_its_own(self, clients: list[TestClient]) -> None:
        for _ in range(PER_MINUTE + 1):
            clients[0].post("/v1/videos", json=BODY)
        assert clients[1].post("/v1/videos", json=BODY).status_code == 200

    def test_every_kind_of_create_counts_and_reading_does_not(
        self, clients: list[TestClient]
    ) -> None:
        client, url = clients[0], "data:video/mp4;base64,AAAA"
        part = {"type": "video_url", "video_url": {"url": url}}
        client.put("/v1/videos/mine", json=BODY)
        sync = client.post("/v1/videos/sync?wait=0", json=BODY)
        assert sync.headers["x-ratelimit-remaining-requests"] == "1"
        client.post("/v1/captions", files={"video": ("clip.mp4", b"frames")})
        chat = {"messages": [{"role": "user", "content": [part]}]}
        assert client.post("/v1/chat/completions", json=chat).status_code == 429
        for path in ("/v1/videos", "/v1/videos/mine", "/v1/queue"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "x-ratelimit-limit-requests" not in answer.headers


class TestJobs:
    """Jobs that wait or run."""

    @pytest.fixture
    def clients(self, server_settings: ServerSettings) -> Iterator[list[TestClient]]:
        with two_accounts(server_settings, max_live_jobs_per_key=2) as clients:
            yield clients

    def test_a_job_that_ends_makes_room(self, clients: list[TestClient], worker: Worker) -> None:
        client, other = clients
        done, cancelled = create_video(client), create_video(client)
        refused = client.post("/v1/videos", json=BODY)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_jobs")
        assert refused.headers["x-ratelimit-limit-jobs"] == "2"
        assert int(refused.headers["retry-after"]) > 0
        create_video(other)
        worker.complete(done, video=b"frames")
        create_video(client)
        client.post(f"/v1/videos/{cancelled}/cancel")
        deleted = create_video(client)
        client.delete(f"/v1/videos/{deleted}")
        create_video(client)
        assert client.post("/v1/videos", json=BODY).status_code == 429

    def test_a_refused_upload_is_not_stored(
        self, clients: list[TestClient], worker: Worker
    ) -> None:
        for _ in range(2):
            create_video(clients[0])
        refused = clients[0].post("/v1/captions", files={"video": ("clip.mp4", b"frames")})
        assert refused.status_code == 429
        assert worker.artifacts.list("uploads/") == []

    def test_many_at_once_do_not_pass_the_limit(self, clients: list[TestClient]) -> None:
        def create(_: int) -> int:
            return clients[0].post("/v1/videos", json=BODY).status_code

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(create, range(12))) == [200] * 2 + [429] * 10

    def test_a_repeat_needs_no_room(self, clients: list[TestClient]) -> None:
        key = {"idempotency-key": "order 7"}
        first = clients[0].post("/v1/videos", json=BODY, headers=key).json()["id"]
        create_video(clients[0])
        assert clients[0].post("/v1/videos", json=BODY, headers=key).json()["id"] == first


class TestStockClient:
    """The `openai` client knows the refusal."""

    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        return server_settings.model_copy(update={"max_creates_per_minute": 1})

    @pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
    def test_a_refusal_is_a_rate_limit_error(self, live_url: str) -> None:
        with OpenAI(base_url=f"{live_url}/v1", api_key="unused", max_retries=0) as client:
            client.videos.create(prompt="a red circle")
            with pytest.raises(RateLimitError, match="more than 1 create requests"):
                client.videos.create(prompt="a red circle")
