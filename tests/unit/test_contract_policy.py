"""A list of words as a policy, and a policy that fails."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.policy import WordList, judge, read_policy
from contract.settings import SharedSettings

WORDS = """
# a comment
forbidden

[weapons]
gun
machine  gun
[Namen]
Straße
"""


@pytest.fixture
def policy(tmp_path: Path) -> WordList:
    file = tmp_path / "words.txt"
    file.write_text(WORDS, encoding="utf-8")
    return WordList.read(file)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a red circle", None),
        ("the forbidden city", "blocked_words"),
        ("FORBIDDEN", "blocked_words"),
        ("a gun.", "weapons"),
        ("begun, gunpowder", None),
        ("machine\n\tgun", "weapons"),
        ("\uff47\uff55\uff4e", "weapons"),
        ("g\u200bun", "weapons"),
        ("eine STRASSE", "Namen"),
        ("# a comment", None),
        ("weapons", None),
    ],
)
def test_a_word_is_found_however_it_is_written(policy: WordList, text: str, rule: str) -> None:
    assert policy.broken_rule(text) == rule
    refusal = judge(policy, text, "prompt")
    assert (refusal is None) == (rule is None)
    if refusal is not None:
        assert (refusal.code, refusal.param) == ("content_policy_violation", "prompt")
        assert repr(rule) in refusal.message


def test_without_a_policy_everything_passes() -> None:
    assert read_policy(None) is None
    assert judge(None, "forbidden") is None


def test_nothing_is_judged_where_there_is_no_text(policy: WordList) -> None:
    assert judge(policy, None) is None


def test_a_policy_that_raises_refuses(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def broken_rule(self, text: str) -> str | None:
            raise TimeoutError("the model behind it is away")

    refusal = judge(Broken(), "a red circle", "prompt")
    assert refusal is not None
    assert "'policy_error'" in refusal.message
    assert "the model behind it is away" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"# nothing\n[rule]\n", "no word in it"), (b"\xff\xfe\xfa", "utf-8")],
)
def test_a_list_that_cannot_be_used_stops_every_process_at_its_start(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValidationError, match=words):
        SharedSettings(blocked_words_file=file)
