"""Videos are taken as they arrive, and not while somebody writes to them."""

import os
from contextlib import suppress

import pytest

from cli.inputs import find_videos
from cli.watching import arrivals


class NoMoreLooks(Exception):
    """The test has seen enough."""


@pytest.fixture
def library(tmp_path):
    (tmp_path / "a.mp4").write_text("one")
    return tmp_path


def looks(library, monkeypatch, *changes):
    """Return what arrives, where a change happens before each further look."""
    pending = [*changes]

    def sleep(seconds):
        if not pending:
            raise NoMoreLooks
        pending.pop(0)()

    monkeypatch.setattr("time.sleep", sleep)
    told = []
    with suppress(NoMoreLooks):
        for every, ready in arrivals(lambda: find_videos([str(library)]), 1):
            told.append([sorted(item.path.name for item in items) for items in (every, ready)])
    return told


def write(path, text, time_ns=None):
    def change():
        path.write_text(text)
        if time_ns:
            os.utime(path, ns=(time_ns, time_ns))

    return change


def nothing():
    pass


def test_what_is_there_comes_once_and_what_arrives_comes_when_it_rests(library, monkeypatch):
    new = library / "b.mp4"
    growing = [write(new, "x", 1), write(new, "xx", 2), write(new, "xxx", 3)]
    told = looks(library, monkeypatch, nothing, *growing, nothing, nothing)
    assert told == [[["a.mp4"], ["a.mp4"]], [["a.mp4", "b.mp4"], ["b.mp4"]]]


def test_a_video_that_has_changed_comes_again(library, monkeypatch):
    told = looks(library, monkeypatch, nothing, write(library / "a.mp4", "two", 5), nothing)
    assert [ready for _, ready in told] == [["a.mp4"], ["a.mp4"]]


def test_an_empty_folder_is_waited_for(tmp_path, monkeypatch):
    told = looks(tmp_path, monkeypatch, write(tmp_path / "a.mp4", "one"), nothing)
    assert [ready for _, ready in told] == [["a.mp4"]]
