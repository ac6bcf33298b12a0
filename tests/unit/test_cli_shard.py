"""A library falls into parts that are the same on every machine."""

from pathlib import Path

import pytest

from cli.inputs import Found
from cli.items import BadOption
from cli.shard import Shard

VIDEOS = [Found(Path(f"/here/{n}.mp4"), Path(f"{n}.mp4")) for n in range(200)]


def test_the_parts_are_disjoint_complete_and_of_like_size():
    parts = [Shard(number, 3).of(VIDEOS) for number in (1, 2, 3)]
    names = [item.name for part in parts for item in part]
    assert sorted(names) == sorted(item.name for item in VIDEOS)
    assert all(45 <= len(part) <= 90 for part in parts)


def test_a_video_stays_in_its_part_wherever_the_library_lies_and_whatever_comes_to_it():
    elsewhere = [Found(Path(f"/there/{n}.mp4"), Path(f"{n}.mp4")) for n in range(100, 300)]
    here = {item.below for item in Shard(2, 4).of(VIDEOS) if item in VIDEOS[100:]}
    there = {item.below for item in Shard(2, 4).of(elsewhere[:100])}
    assert here == there


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(BadOption, match="must be I/N with 1 <= I <= N"):
        Shard.parse(text)


def test_a_shard_is_parsed():
    assert Shard.parse("2/4") == Shard(2, 4)
