"""Real Redis servers for tests: the embedded Valkey, and Debian's Redis where it is installed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cli.embedded import EmbeddedRedis


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test the Valkey server; one marked `every_redis` runs once per server found."""
    if "redis_server" not in metafunc.fixturenames:
        return
    binaries: dict[str, Path | None] = {"valkey": None}
    installed = shutil.which("redis-server")
    if installed and metafunc.definition.get_closest_marker("every_redis"):
        binaries["redis"] = Path(installed)
    metafunc.parametrize(
        "redis_server", binaries.values(), ids=binaries, indirect=True, scope="session"
    )


@pytest.fixture(scope="session")
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedRedis]:
    """Serve for the session; ask for `redis_url` instead unless the server itself is needed."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), binary=request.param) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """URL of a real and empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    """Return a connection to it, with bytes responses."""
    with redis.Redis.from_url(redis_url) as client:
        yield client
