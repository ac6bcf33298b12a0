"""The input of a batch is read line by line, wherever chunks of it end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.artifacts import ArtifactStore
from contract.batch_records import BatchRecord, input_key
from server.batches.reading import InputLost, OpenInputs, read_lines
from server.errors import InvalidRequest


class CountingStore(ArtifactStore):
    """Counts how often it is read from the start of a stream."""

    reads = 0

    def stream(self, key: str, start: int, end: int, chunk: int = 1 << 20) -> Iterator[bytes]:
        self.reads += 1
        yield from super().stream(key, start, end, chunk)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path.as_uri())


def batch(store: ArtifactStore, data: bytes, offset: int = 0) -> BatchRecord:
    store.put(input_key("batch_1"), data, "text/plain")
    return BatchRecord(
        id="batch_1",
        endpoint="/v1/videos",
        input_file_id="file-1",
        size=len(data),
        created_at=0,
        expires_at=0,
        offset=offset,
    )


@pytest.mark.parametrize("size", [2, 1000, 2**20 - 1, 2**20])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_lines_cover_the_input_without_a_gap(store: CountingStore, size: int, end: bytes) -> None:
    expected = [bytes([65 + i]) * (size - i % 2) for i in range(4)]
    data = b"\n".join(expected) + end
    lines = list(read_lines(store, batch(store, data)))
    assert [line.data for line in lines] == expected
    assert [line.offset for line in lines] == [0, *(line.end for line in lines[:-1])]
    assert lines[-1].end == len(data)
    rest = list(read_lines(store, batch(store, data, offset=lines[2].offset)))
    assert rest == lines[2:]


@pytest.mark.parametrize("place", [b"%b", b"x\n%b", b"%b\nx"])
def test_a_line_over_the_limit_is_refused(store: CountingStore, place: bytes) -> None:
    with pytest.raises(InvalidRequest, match="1048576 bytes"):
        list(read_lines(store, batch(store, place % (b"y" * (2**20 + 1)))))


def test_an_input_is_gone_on_with_where_it_was_left(store: CountingStore) -> None:
    found, inputs = batch(store, b"a\nb\nc\n"), OpenInputs(store)
    offset, seen = 0, []
    while line := inputs.line_at(found, offset):
        # it had to wait for its turn
        assert inputs.line_at(found, offset) == line
        seen.append(line.data)
        offset = line.end
    assert seen == [b"a", b"b", b"c"]
    assert store.reads == 1


def test_an_input_that_somebody_else_went_on_with_is_read_anew(store: CountingStore) -> None:
    def data(offset: int) -> bytes:
        line = inputs.line_at(found, offset)
        assert line is not None
        return line.data

    found, inputs = batch(store, b"a\nb\nc\n"), OpenInputs(store)
    assert [data(0), data(4)] == [b"a", b"c"]
    inputs.forget_others(["batch_2"])
    assert data(2) == b"b"
    assert store.reads == 3


def test_an_input_that_could_not_be_read_is_read_again(store: CountingStore) -> None:
    data = b"a" * 2**19 + b"\n" + b"b" * 2**20
    found, inputs = batch(store, data), OpenInputs(store)
    first = inputs.line_at(found, 0)
    assert first is not None
    store.delete_all("batches/")
    with pytest.raises(InputLost):
        inputs.line_at(found, first.end)
    batch(store, data)
    again = inputs.line_at(found, first.end)
    assert again is not None
    assert again.data == b"b" * 2**20


def test_a_lost_input_is_said_to_be_lost(store: CountingStore) -> None:
    found = batch(store, b"a\n")
    store.delete_all("batches/")
    with pytest.raises(InputLost):
        next(read_lines(store, found))
