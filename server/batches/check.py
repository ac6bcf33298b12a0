"""Looks at the input of a batch before any line of it is started.

Only what makes a line a request is looked at; whether that can be carried out shows at its start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from contract.artifacts import ArtifactStore
from contract.batch_records import BatchError, BatchRecord
from server.batches.lines import Line, parse_line
from server.batches.reading import RawLine, read_lines
from server.errors import InvalidRequest, shown

#: as at OpenAI
MAX_LINES = 50_000
#: told of one input
_MAX_ERRORS = 20


@dataclass
class Findings:
    """What was found in an input so far."""

    total: int = 0
    errors: list[BatchError] = field(default_factory=list)
    #: eight bytes for each custom id: the ids themselves could be long
    _seen: set[int] = field(default_factory=set)

    def note(self, number: int, raw: RawLine, endpoint: str) -> None:
        """Look at one line."""
        if raw.is_blank:
            return
        self.total += 1
        try:
            self._check_new(parse_line(raw.data, endpoint))
        except InvalidRequest as error:
            self.refuse(error, number)

    def refuse(self, error: InvalidRequest, number: int | None = None) -> None:
        """Note an error."""
        self.errors.append(
            BatchError(code=error.code, message=error.message, param=error.param, line=number)
        )

    def _check_new(self, line: Line) -> None:
        digest = hashlib.blake2b(line.custom_id.encode(), digest_size=8).digest()
        known, name = len(self._seen), int.from_bytes(digest)
        self._seen.add(name)
        if len(self._seen) == known:
            raise InvalidRequest(
                f"custom_id {shown(line.custom_id)} is used before",
                param="custom_id",
                code="duplicate_custom_id",
            )


def check_input(artifacts: ArtifactStore, batch: BatchRecord, findings: Findings) -> Iterator[None]:
    """Look at all lines of a batch, one at each step, and note what is found.

    One line is held in memory at a time. It ends early where there are too many lines or errors.
    """
    try:
        for number, raw in enumerate(read_lines(artifacts, batch), start=1):
            if number > MAX_LINES:
                message = f"there are more than {MAX_LINES} lines"
                raise InvalidRequest(message, code="too_many_lines")
            findings.note(number, raw, batch.endpoint)
            if len(findings.errors) >= _MAX_ERRORS:
                return
            yield
        if not findings.total:
            raise InvalidRequest("there is no line in the input", code="empty_file")
    except InvalidRequest as error:
        findings.refuse(error)
