"""Keys that are made and revoked while servers run: who gets in, and what for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.testclient import TestClient
from openai import AuthenticationError, OpenAI, PermissionDeniedError
from server_apps import Worker, create_video
from worker_house import until

from contract.keys import KEYS_KEY, KeyStore, parse_scopes
from server.app import create_app
from server.auth import needed_scope, require_key
from server.key_ring import KeyRing
from server.settings import ServerSettings

BODY = {"prompt": "a red circle"}


@pytest.fixture
def keys(redis_url: str) -> Iterator[KeyStore]:
    with redis.Redis.from_url(redis_url) as connection:
        yield KeyStore(connection)


@pytest.fixture
def server_settings(redis_url: str, tmp_path: Path) -> ServerSettings:
    return ServerSettings(redis_url=redis_url, data_dir=tmp_path, port=0, require_keys=True)


def bearer(keys: KeyStore, *scopes: str, **limits: int) -> dict[str, str]:
    """Make a key and return the header that shows it."""
    _, secret = keys.create("test", parse_scopes(scopes), **limits)
    return {"authorization": f"Bearer {secret}"}


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


class TestDoor:
    """With a key, without, with one that is no more."""

    def test_a_key_that_was_made_opens_and_no_other_does(
        self, api: TestClient, worker: Worker, keys: KeyStore
    ) -> None:
        header = bearer(keys)
        assert api.post("/v1/videos", json=BODY, headers=header).status_code == 200
        assert code(api.get("/v1/videos")) == (401, "invalid_api_key")
        for wrong in ("Bearer uvk_wrong", "Bearer ", "Basic eDp5", header["authorization"] + "x"):
            assert api.get("/v1/videos", headers={"authorization": wrong}).status_code == 401

    def test_a_server_without_any_key_is_open_until_the_first_is_made(
        self, redis_url: str, tmp_path: Path, keys: KeyStore
    ) -> None:
        settings = ServerSettings(redis_url=redis_url, data_dir=tmp_path)
        with TestClient(create_app(settings)) as api:
            assert api.get("/v1/videos").status_code == 200
            key, _ = keys.create("first", parse_scopes(()))
            until(lambda: api.get("/v1/videos").status_code == 401, 5)
            # or whoever takes the last key away would open the door to everybody
            keys.revoke(key.id)
            with TestClient(create_app(settings)) as restarted:
                assert restarted.get("/v1/videos").status_code == 401

    @pytest.mark.parametrize(
        ("header", "value", "status"),
        [
            ("host", "127.0.0.1:8000", 200),
            ("host", "[::1]:8000", 200),
            ("host", "localhost", 200),
            ("host", "rebound.example:8000", 403),
            ("host", "192.168.1.5", 403),
            ("host", "[2606:4700::1]", 403),
            ("host", "", 403),
            ("origin", "http://localhost:3000", 200),
            ("origin", "https://evil.example", 403),
            ("origin", "null", 403),
            ("origin", "http://[::1", 403),
        ],
    )
    def test_without_keys_nothing_is_served_to_other_sites_and_machines(
        self, redis_url: str, tmp_path: Path, keys: KeyStore, header: str, value: str, status: int
    ) -> None:
        settings = ServerSettings(redis_url=redis_url, data_dir=tmp_path)
        with TestClient(create_app(settings)) as api:
            answer = api.get("/v1/videos", headers={header: value})
            assert answer.status_code == status
            if status == 403:
                assert code(answer) == (403, "loopback_only")
            with_key = {header: value} | bearer(keys)
            until(lambda: api.get("/v1/videos").status_code == 401, 5)
            assert api.get("/v1/videos", headers=with_key).status_code == 200

    def test_a_revoked_key_is_refused_by_every_replica_within_seconds(
        self, server_settings: ServerSettings, keys: KeyStore
    ) -> None:
        header = bearer(keys)
        with (
            TestClient(create_app(server_settings), headers=header) as one,
            TestClient(create_app(server_settings), headers=header) as two,
        ):
            assert [c.get("/v1/videos").status_code for c in (one, two)] == [200, 200]
            assert keys.revoke(keys.all()[0].id)
            for client in (one, two):
                until(lambda client=client: client.get("/v1/videos").status_code == 401, 5)

    def test_redis_holds_no_key_and_knows_when_it_was_used(
        self, api: TestClient, keys: KeyStore
    ) -> None:
        key, secret = keys.create("test", parse_scopes(()))
        assert keys.last_used() == {}
        api.get("/v1/videos", headers={"authorization": f"Bearer {secret}"})
        assert keys.last_used().keys() == {key.id}
        (stored,) = keys._redis.hvals(KEYS_KEY)
        assert secret.encode() not in stored
        assert secret[8:].encode() not in stored

    def test_a_server_that_requires_keys_may_listen_anywhere(self) -> None:
        assert ServerSettings(host="0.0.0.0", require_keys=True).host == "0.0.0.0"

    @pytest.mark.parametrize("kind", ["settings", "made"])
    def test_one_key_sees_no_jobs_of_another(
        self, server_settings: ServerSettings, worker: Worker, keys: KeyStore, kind: str
    ) -> None:
        settings = ServerSettings(**dict(server_settings) | {"api_keys": ("of-settings",)})
        owner, other = bearer(keys), bearer(keys)
        if kind == "settings":
            other = {"authorization": "Bearer of-settings"}
        with TestClient(create_app(settings)) as api:
            api.headers.update(owner)
            video = create_video(api)
            api.headers.update(other)
            assert api.get("/v1/videos").json()["data"] == []
            for path in (f"/v1/videos/{video}", f"/v1/videos/{video}/content"):
                assert api.get(path).status_code == 404
            assert api.delete(f"/v1/videos/{video}").status_code == 404


class TestScopes:
    """What a key may do."""

    @pytest.mark.parametrize(
        ("scopes", "method", "path", "status"),
        [
            (["videos:read"], "GET", "/v1/videos", 200),
            (["videos:read"], "POST", "/v1/videos", 403),
            (["videos:read"], "GET", "/v1/captions", 403),
            (["videos:write"], "POST", "/v1/videos", 200),
            (["videos:write"], "GET", "/v1/videos", 403),
            (["videos:write"], "DELETE", "/v1/videos/nothing", 404),
            (["videos:read"], "DELETE", "/v1/videos/nothing", 403),
            (["captions"], "POST", "/v1/videos/nothing/cancel", 403),
            (["captions"], "POST", "/v1/chat/completions", 400),
            (["videos"], "POST", "/v1/chat/completions", 403),
            (["admin"], "GET", "/v1/videos", 403),
            (["videos:read"], "GET", "/v1/models", 200),
        ],
    )
    @pytest.mark.usefixtures("worker")
    def test_a_key_does_what_its_scopes_name(
        self, api: TestClient, keys: KeyStore, scopes, method, path, status
    ) -> None:
        body = {"json": BODY} if method == "POST" else {}
        answer = api.request(method, path, headers=bearer(keys, *scopes), **body)
        assert answer.status_code == status, answer.text
        if status == 403:
            error = answer.json()["error"]
            assert (error["type"], error["code"]) == ("permission_error", "missing_scope")
            assert needed_scope(path, method) in error["message"]

    def test_a_batch_needs_the_scope_of_its_lines_too(
        self, api: TestClient, keys: KeyStore
    ) -> None:
        body = {"input_file_id": "file-1", "endpoint": "/v1/videos", "completion_window": "24h"}
        only_batches = api.post("/v1/batches", json=body, headers=bearer(keys, "batches"))
        assert code(only_batches) == (403, "missing_scope")
        assert "videos:write" in only_batches.json()["error"]["message"]
        both = api.post("/v1/batches", json=body, headers=bearer(keys, "batches", "videos:write"))
        assert both.json()["error"]["param"] == "input_file_id"

    def test_no_route_is_without_an_area(self, server_settings: ServerSettings) -> None:
        paths = create_app(server_settings).openapi()["paths"]
        mine = [path for path in paths if path.startswith("/v1/")]
        assert len(mine) > 10
        assert [path for path in mine if needed_scope(path, "GET") == "admin"] == []

    def test_no_route_is_without_a_key(self, server_settings: ServerSettings) -> None:
        routes = [
            route
            for route in create_app(server_settings).routes
            if isinstance(route, APIRoute | APIWebSocketRoute)
            and route.path.startswith(("/v1", "/api"))
        ]
        assert any(isinstance(route, APIWebSocketRoute) for route in routes)
        for route in routes:
            calls = [dependency.call for dependency in route.dependant.dependencies]
            assert require_key in calls, route.path

    @pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
    def test_the_stock_client_knows_both_refusals(self, live_url: str, keys: KeyStore) -> None:
        weak = bearer(keys, "videos:read")["authorization"].removeprefix("Bearer ")
        with OpenAI(base_url=f"{live_url}/v1", api_key=weak, max_retries=0) as client:
            with pytest.raises(PermissionDeniedError, match="videos:write"):
                client.videos.create(prompt="a red circle")
        with OpenAI(base_url=f"{live_url}/v1", api_key="wrong", max_retries=0) as client:
            with pytest.raises(AuthenticationError, match="not known"):
                client.videos.list()


@pytest.mark.usefixtures("worker")
class TestLimits:
    """A key's own limits go before the server's."""

    @pytest.fixture
    def server_settings(self, server_settings: ServerSettings) -> ServerSettings:
        limits = {"max_creates_per_minute": 2, "max_live_jobs_per_key": 3}
        return server_settings.model_copy(update=limits)

    def test_of_creates_per_minute(self, api: TestClient, keys: KeyStore) -> None:
        for header, limit in ((bearer(keys), 2), (bearer(keys, max_creates_per_minute=1), 1)):
            for _ in range(limit):
                answer = api.post("/v1/videos", json=BODY, headers=header)
                assert answer.headers["x-ratelimit-limit-requests"] == str(limit)
                assert answer.status_code == 200
            answer = api.post("/v1/videos", json=BODY, headers=header)
            assert code(answer) == (429, "rate_limit_exceeded")

    def test_are_known_before_the_key_was_seen(
        self, server_settings: ServerSettings, keys: KeyStore
    ) -> None:
        key, _ = keys.create("test", parse_scopes(()), max_live_jobs=1)
        ring = KeyRing(keys._redis, server_settings)
        assert ring.limit(key.id, "max_live_jobs", 3) == 1
        assert ring.limit("of-the-settings", "max_live_jobs", 3) == 3

    def test_of_live_jobs(self, api: TestClient, keys: KeyStore) -> None:
        header = bearer(keys, max_live_jobs=1, max_creates_per_minute=100)
        assert api.post("/v1/videos", json=BODY, headers=header).status_code == 200
        answer = api.post("/v1/videos", json=BODY, headers=header)
        assert code(answer) == (429, "too_many_jobs")
        assert answer.headers["x-ratelimit-limit-jobs"] == "1"
