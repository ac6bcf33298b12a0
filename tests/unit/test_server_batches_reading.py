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
    lines = inputs.take(found)
    first = next(lines)
    inputs.leave("batch_1", first.end, lines)
    again = inputs.take(found.model_copy(update={"offset": first.end}))
    assert [line.data for line in again] == [b"b", b"c"]
    assert store.reads == 1


def test_an_input_that_somebody_else_went_on_with_is_read_anew(store: CountingStore) -> None:
    found, inputs = batch(store, b"a\nb\nc\n"), OpenInputs(store)
    lines = inputs.take(found)
    inputs.leave("batch_1", next(lines).end, lines)
    assert next(inputs.take(found.model_copy(update={"offset": 4}))).data == b"c"
    inputs.leave("batch_1", 2, lines)
    inputs.forget_others(["batch_2"])
    assert next(inputs.take(found.model_copy(update={"offset": 2}))).data == b"b"
    assert store.reads == 3


def test_a_lost_input_is_said_to_be_lost(store: CountingStore) -> None:
    found = batch(store, b"a\n")
    store.delete_all("batches/")
    with pytest.raises(InputLost):
        next(read_lines(store, found))
