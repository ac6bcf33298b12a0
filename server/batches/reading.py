"""Reads the input of a batch line by line, from where its lines were not taken yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from contract.artifacts import ArtifactStore
from contract.batch_records import BatchRecord, input_key
from server.batches.lines import ENDPOINTS
from server.errors import InvalidRequest


class InputLost(Exception):
    """The artifact store has no input of this batch any more."""


@dataclass(frozen=True)
class RawLine:
    """A line as it stands in the input."""

    #: where it begins, in bytes
    offset: int
    #: where the next one begins
    end: int
    data: bytes

    @property
    def is_blank(self) -> bool:
        """Whether there is no request in it."""
        return not self.data.strip()


def read_lines(artifacts: ArtifactStore, batch: BatchRecord) -> Iterator[RawLine]:
    """Yield the lines of a batch that were not taken yet, holding a chunk and a line in memory.

    Raises:
        InvalidRequest: where a line is longer than a body of its endpoint may be.
        InputLost: if there is no input.
    """
    limit = ENDPOINTS[batch.endpoint].max_line_bytes
    offset, rest = batch.offset, bytearray()
    for chunk in _chunks(artifacts, batch):
        rest += chunk
        *lines, left = rest.split(b"\n")
        for line in lines:
            yield RawLine(offset, offset + len(line) + 1, bytes(_within(line, limit)))
            offset += len(line) + 1
        rest = _within(left, limit)
    if rest:
        yield RawLine(offset, batch.size, bytes(rest))


class OpenInputs:
    """Inputs that are read a few lines at a time, so that no chunk is fetched for each line.

    Args:
        artifacts: holds the inputs.
    """

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        #: the line that was looked at last, and those behind it
        self._left: dict[str, tuple[RawLine, Iterator[RawLine]]] = {}

    def line_at(self, batch: BatchRecord, offset: int) -> RawLine | None:
        """Return the line of a batch that begins at an offset; None behind the last one.

        Raises:
            InvalidRequest: if it is longer than a body of its endpoint may be.
            InputLost: if there is no input.
        """
        # out of the way first: lines that raise have no more behind them
        line, lines = self._left.pop(batch.id, (None, iter(())))
        if line is None or offset not in (line.offset, line.end):
            lines = read_lines(self._artifacts, batch.model_copy(update={"offset": offset}))
        if line is None or offset != line.offset:
            line = next(lines, None)
        if line is not None:
            self._left[batch.id] = (line, lines)
        return line

    def forget_others(self, batch_ids: Collection[str]) -> None:
        """Let go of the inputs of all other batches."""
        self._left = {name: left for name, left in self._left.items() if name in batch_ids}


def _chunks(artifacts: ArtifactStore, batch: BatchRecord) -> Iterator[bytes]:
    try:
        yield from artifacts.stream(input_key(batch.id), batch.offset, batch.size)
    except FileNotFoundError as error:
        raise InputLost from error


def _within(line: bytearray, limit: int) -> bytearray:
    if len(line) > limit:
        raise InvalidRequest(f"a line is over the limit of {limit} bytes", code="line_too_long")
    return line
