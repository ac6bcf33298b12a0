"""The index keeps one text per video and question, and finds it by its words."""

import sqlite3

import pytest

from cli.backend import Description
from cli.index import CaptionIndex, Identity
from cli.items import BadOption
from contract.subtitles import Cue


@pytest.fixture
def index(tmp_path):
    with CaptionIndex(tmp_path / "deep" / "captions.db") as index:
        yield index


def tell(index, file, text, instruction=None, key="k"):
    index.record(file, instruction, Identity(f"{file} stamp", "hash", key), Description(text, 2.0))


def found(index, query):
    return [match.file for match in index.search(query, 10)]


def test_a_search_finds_words_in_all_their_forms(index):
    tell(index, "1.mp4", "a red circle moves left")
    tell(index, "2.mp4", "a blue square moves right")
    assert found(index, "red circle moving left") == ["1.mp4"]
    assert found(index, "Moved") == ["2.mp4", "1.mp4"]
    assert found(index, "red square") == []


def test_the_best_match_comes_first(index):
    tell(index, "1.mp4", "a circle, then much else that has little to do with what is asked for")
    tell(index, "2.mp4", "a circle and a circle")
    assert found(index, "circle") == ["2.mp4", "1.mp4"]


@pytest.mark.parametrize("query", ['"', "AND", "circle OR", "text:circle", "circ*", "", "'; DROP"])
def test_nothing_in_a_query_is_an_operator(index, query):
    tell(index, "1.mp4", "a circle")
    assert found(index, query) == []


def test_a_new_text_takes_the_place_of_the_old_one(index):
    tell(index, "1.mp4", "a circle")
    tell(index, "1.mp4", "a square")
    assert (found(index, "circle"), found(index, "square")) == ([], ["1.mp4"])


def test_an_answer_stands_beside_the_caption(index):
    tell(index, "1.mp4", "a circle")
    tell(index, "1.mp4", "the circle is red", "which colour?")
    assert [(m.text, m.instruction) for m in index.search("circle", 10)] == [
        ("a circle", None),
        ("the circle is red", "which colour?"),
    ]


def test_it_outlives_its_process_with_every_segment(index, tmp_path):
    told = Description("one two", 3.0, [Cue(0, 1.5, "one"), Cue(1.5, 3.0, "two")])
    index.record("1.mp4", None, Identity("stamp", "hash", "key"), told)
    with CaptionIndex(tmp_path / "deep" / "captions.db") as other:
        assert other.find("key") == told
        assert other.key_of("1.mp4", None) == ""
        other.confirm("1.mp4", None)
        assert other.key_of("1.mp4", None) == "key"
        assert other.key_of("2.mp4", None) is None
        assert other.content_of("1.mp4", "stamp") == "hash"
        assert other.content_of("1.mp4", "another stamp") is None


def test_two_commands_may_write_at_the_same_time(index, tmp_path):
    with CaptionIndex(tmp_path / "deep" / "captions.db") as other:
        for number in range(50):
            tell((index, other)[number % 2], f"{number}.mp4", "a circle")
        assert len(index.search("circle", 100)) == 50


def test_a_file_that_is_no_index_is_refused(tmp_path):
    (tmp_path / "x.db").write_text("not a database, but long enough to be looked at" * 50)
    with pytest.raises(BadOption, match=r"--index .*x\.db: file is not a database"):
        CaptionIndex(tmp_path / "x.db")
    with pytest.raises(BadOption, match="--index"):
        CaptionIndex(tmp_path / "x.db" / "below")
    assert sqlite3.sqlite_version_info >= (3, 20)
