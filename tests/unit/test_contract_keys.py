"""What the words for scopes stand for."""

import pytest

from contract.keys import ALL_SCOPES, DEFAULT_SCOPES, parse_scopes


def test_an_area_means_reading_and_writing() -> None:
    assert parse_scopes(["videos", "files:read"]) == {"videos:read", "videos:write", "files:read"}


def test_no_word_means_everything_but_operating_the_service() -> None:
    assert parse_scopes([]) == DEFAULT_SCOPES == ALL_SCOPES - {"admin"}


@pytest.mark.parametrize("word", ["", "video", "admin:read", "videos:delete", "Videos"])
def test_another_word_is_refused_with_what_is_allowed(word: str) -> None:
    with pytest.raises(
        ValueError, match=f"scope '{word}' is not known; allowed: admin, and videos"
    ):
        parse_scopes(["captions", word])
