"""What may be asked for and said: a policy judges prompts before a job is made, captions after.

There is one policy so far, a list of words; without it nothing is judged. A policy that fails to
judge refuses: it never lets a text pass unseen.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from pathlib import Path
from typing import Protocol

from contract.errors import ErrorCode, ErrorInfo

log = logging.getLogger(__name__)

#: the rule of words that stand before any rule's name
_UNNAMED_RULE = "blocked_words"
#: named where a policy raised
_BROKEN_RULE = "policy_error"


class Policy(Protocol):
    """Judges texts."""

    def broken_rule(self, text: str) -> str | None:
        """Return the name of the first rule that a text breaks, or None."""


class WordList:
    """Blocks texts with certain words or phrases, whatever their case, width or spacing.

    Args:
        rules: name of a rule to its words.
    """

    def __init__(self, rules: dict[str, list[str]]) -> None:
        self._patterns = {
            name: re.compile(rf"(?<!\w)(?:{'|'.join(map(_phrase, words))})(?!\w)")
            for name, words in rules.items()
        }

    @classmethod
    def read(cls, path: Path) -> WordList:
        """Read a file with a word or phrase per line; `[name]` begins a rule, `#` a comment.

        Raises:
            ValueError: if it cannot be read or holds no word.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"blocked words {path}: {error}") from error
        rules: dict[str, list[str]] = {}
        rule = _UNNAMED_RULE
        for line in map(str.strip, lines):
            if line.startswith("[") and line.endswith("]"):
                rule = line[1:-1].strip()
            elif line and not line.startswith("#"):
                rules.setdefault(rule, []).append(line)
        if not rules:
            raise ValueError(f"blocked words {path}: there is no word in it")
        return cls(rules)

    def broken_rule(self, text: str) -> str | None:
        """Return the name of the first rule that a text breaks, or None."""
        plain = _plain(text)
        for name, pattern in self._patterns.items():
            if pattern.search(plain):
                return name
        return None


def read_policy(blocked_words_file: Path | None) -> Policy | None:
    """Return the configured policy, or None where there is none.

    Raises:
        ValueError: if its file cannot be used.
    """
    return None if blocked_words_file is None else WordList.read(blocked_words_file)


def judge(policy: Policy | None, text: str | None, param: str | None = None) -> ErrorInfo | None:
    """Return why a text is refused, or None.

    Args:
        policy: the configured one; None lets everything pass.
        text: a prompt, an instruction or a caption; None where there is none.
        param: the request's field that it came in.
    """
    if policy is None or text is None:
        return None
    try:
        rule = policy.broken_rule(text)
    except Exception:  # whatever it is, the text was not judged
        log.exception("the content policy could not judge a text, which is refused")
        rule = _BROKEN_RULE
    if rule is None:
        return None
    what = param or "the caption"
    return ErrorInfo(
        code=ErrorCode.CONTENT_POLICY_VIOLATION,
        message=f"{what} is not allowed by the content policy, rule {rule!r}",
        param=param,
    )


def _plain(text: str) -> str:
    # invisible characters would split a word that reads as one
    seen = "".join(
        c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf"
    )
    return " ".join(seen.casefold().split())


def _phrase(words: str) -> str:
    return re.escape(_plain(words))
