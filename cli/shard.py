"""One of several equal parts of a library, for as many machines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cli.inputs import Found
from cli.items import BadOption


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, counted from 1.

    A video is in the same part on every machine, and stays there when others come: its path below
    the argument decides.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that `I/N` names.

        Raises:
            BadOption: if it names none.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        number, count = (int(part) for part in match.groups()) if match else (0, 0)
        if not 1 <= number <= count:
            raise BadOption(f"--shard {text!r}: must be I/N with 1 <= I <= N, e.g. 2/4")
        return cls(number, count)

    def of(self, found: Sequence[Found]) -> list[Found]:
        """Return the videos of this part."""
        return [item for item in found if self._number_of(item) == self.number]

    def _number_of(self, item: Found) -> int:
        digest = hashlib.sha256(item.below.as_posix().encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count + 1
