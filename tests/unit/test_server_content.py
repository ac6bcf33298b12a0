"""Byte ranges, at the edges of a file of ten bytes."""

import pytest

from server.content import parse_range
from server.errors import RangeError


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=0-10", (0, 10)),
        ("bytes=9-", (9, 10)),
        ("bytes=3-5", (3, 6)),
        ("bytes=-1", (9, 10)),
        ("bytes=-10", (0, 10)),
        ("bytes=-11", (0, 10)),
    ],
)
def test_a_range_is_cut_at_the_end_of_the_file(header: str, part: tuple[int, int]) -> None:
    assert parse_range(header, 10) == part


@pytest.mark.parametrize(
    "header",
    ["bytes=0-1,3-4", "bytes=-", "items=0-1", "bytes=5-3", "bytes=a-b", f"bytes=0-{'9' * 5000}"],
)
def test_what_is_no_single_range_is_ignored(header: str) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=11-12", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_outside_the_file_is_refused_with_its_size(header: str, size: int) -> None:
    with pytest.raises(RangeError, match=f"{size} bytes") as caught:
        parse_range(header, size)
    assert caught.value.headers == {"content-range": f"bytes */{size}"}
