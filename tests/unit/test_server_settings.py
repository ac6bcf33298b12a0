"""A server without keys stays on this machine, and says what is missing."""

import pytest
from pydantic import ValidationError

from server.app import create_app
from server.settings import ServerSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_no_key(host: str) -> None:
    assert ServerSettings(host=host).api_keys == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_another_address_needs_a_key(host: str) -> None:
    with pytest.raises(ValidationError, match=f"{host}.*UNIVIGU_API_KEYS"):
        ServerSettings(host=host)
    assert ServerSettings(host=host, api_keys=("secret",)).host == host


def test_keys_come_from_the_environment_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNIVIGU_API_KEYS", "one, two,,")
    assert [key.get_secret_value() for key in ServerSettings().api_keys] == ["one", "two"]


def test_keys_are_not_shown() -> None:
    assert "hidden-key" not in repr(ServerSettings(api_keys=("hidden-key",)))


def test_an_app_without_redis_is_refused() -> None:
    with pytest.raises(ValueError, match="UNIVIGU_REDIS_URL is not set"):
        create_app(ServerSettings())
