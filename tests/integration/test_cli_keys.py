"""`univigu keys`, beside a running service and alone."""

import json
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner, Result

from cli.embedded import EmbeddedRedis
from cli.main import app
from contract.keys import KeyStore


def keys(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments], env=variables)


def json_rows(run: Result) -> list[dict]:
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_a_key_is_shown_once_listed_without_itself_and_revoked(redis_url: str) -> None:
    place = {"UNIVIGU_REDIS_URL": redis_url}
    made = keys("create", "alice", "--scope", "videos", "--max-live-jobs", "2", **place)
    assert made.exit_code == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("uvk_")
    with redis.Redis.from_url(redis_url) as connection:
        (key,) = KeyStore(connection).all()
    assert (key.name, key.max_live_jobs, key.max_creates_per_minute) == ("alice", 2, None)
    assert key.scopes == {"videos:read", "videos:write"}
    listed = keys("list", **place)
    assert key.id in listed.stdout
    assert "last used never" in listed.stdout
    assert secret not in listed.stdout
    assert keys("revoke", key.id, **place).exit_code == 0
    (row,) = json_rows(keys("list", "--json", **place))
    assert row["revoked_at"] > row["created_at"]
    assert "digest" not in row


def test_it_works_beside_a_running_embedded_redis_and_without(tmp_path: Path) -> None:
    place = {"UNIVIGU_DATA_DIR": str(tmp_path)}
    with EmbeddedRedis(tmp_path / "redis"):
        keys("create", "one", **place)
        assert (tmp_path / "redis" / "url").stat().st_mode & 0o077 == 0
    keys("create", "two", "--json", **place)
    names = [row["name"] for row in json_rows(keys("list", "--json", **place))]
    assert names == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["create", "x", "--scope", "video"], 2, "scope 'video' is not known; allowed: admin"),
        (["create", "x", "--max-live-jobs", "0"], 2, "max_live_jobs: Input should be greater"),
        (["create", ""], 2, "name: String should have at least 1 character"),
        (["revoke", "key_no"], 1, "there is no key 'key_no'"),
    ],
)
def test_what_cannot_be_done_is_said(redis_url: str, arguments, status: int, words: str) -> None:
    run = keys(*arguments, UNIVIGU_REDIS_URL=redis_url)
    assert (run.exit_code, run.stdout) == (status, "")
    assert words in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_redis_that_is_away_is_named() -> None:
    run = keys("list", UNIVIGU_REDIS_URL="redis://127.0.0.1:9/0")
    assert run.exit_code == 2
    assert "no Redis" in run.stderr


def test_json_of_a_new_key_is_one_object(redis_url: str) -> None:
    run = keys("create", "x", "--json", UNIVIGU_REDIS_URL=redis_url)
    assert json.loads(run.stdout)["key"].startswith("uvk_")
