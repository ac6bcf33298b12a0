"""Videos of an S3-compatible bucket get their texts beside them, in the bucket."""

import json

import pytest

from cli.backend import Description
from cli.captioning import Desk, Question
from cli.index import CaptionIndex
from cli.inputs import find_videos
from cli.items import BadOption, ItemFailed
from cli.sidecars import Style, place_sidecars
from contract.artifacts import ArtifactStore


class StandIn:
    """Tells what is in the file; `bad` cannot be read."""

    max_jobs = 1

    def __init__(self):
        self.asked = 0

    def checkpoint(self):
        return "model@1"

    def describe(self, wish, on_step):
        self.asked += 1
        content = wish.path.read_text()
        if content == "bad":
            raise ItemFailed("it is bad", is_final=True)
        return Description(f"shows {content}", 2.0)


@pytest.fixture
def bucket(s3_server, monkeypatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.new_bucket()}"


@pytest.fixture
def library(bucket):
    store = ArtifactStore(f"{bucket}/films")
    for key, content in {"a.mp4": b"one", "d/b.mkv": b"two", "d/bad.mov": b"bad"}.items():
        store.put(key, content, "video/mp4")
    store.put("notes.txt", b"no video", "text/plain")
    return store


@pytest.fixture
def caption(tmp_path):
    """Caption what an argument names; gives the rows and how often the model was asked."""
    with CaptionIndex(tmp_path / "captions.db") as index:

        def call(argument, out=None, formats=("txt",)):
            backend = StandIn()
            items = find_videos([argument])
            places = place_sidecars(items, out, Style(formats))
            desk = Desk(backend, index, Question(None, 0), True, lambda at, of: None)
            return [desk.row(places, item) for item in items], backend.asked

        yield call


def test_texts_lie_beside_their_videos_and_nothing_is_done_twice(bucket, library, caption):
    rows, asked = caption(f"{bucket}/films/", formats=("txt", "nfo"))
    assert [(row.file, row.status, row.text) for row in rows] == [
        (f"{bucket}/films/a.mp4", "completed", "shows one"),
        (f"{bucket}/films/d/b.mkv", "completed", "shows two"),
        (f"{bucket}/films/d/bad.mov", "failed", None),
    ]
    assert asked == 3
    assert library.list("") == [
        *("a.mp4", "a.nfo", "a.txt", "d/b.mkv", "d/b.nfo", "d/b.txt", "d/bad.error.json"),
        *("d/bad.mov", "notes.txt"),
    ]
    assert library.get("d/b.txt") == b"shows two\n"
    assert json.loads(library.get("d/bad.error.json"))["error"] == "it is bad"
    rows, asked = caption(f"{bucket}/films", formats=("txt", "nfo"))
    assert [row.status for row in rows] == ["skipped", "skipped", "failed"]
    assert asked == 0


def test_a_mended_video_forgets_its_failure(bucket, library, caption):
    caption(f"{bucket}/films")
    library.put("d/bad.mov", b"mended", "video/mp4")
    rows, asked = caption(f"{bucket}/films")
    assert ([row.status for row in rows], asked) == (["skipped", "skipped", "completed"], 1)
    assert "d/bad.error.json" not in library.list("")


def test_texts_may_lie_in_a_folder_here(bucket, library, caption, tmp_path):
    caption(f"{bucket}/films", out=tmp_path / "out")
    assert (tmp_path / "out" / "d" / "b.txt").read_text() == "shows two\n"
    assert [key for key in library.list("") if key.endswith(".txt")] == ["notes.txt"]


def test_a_prefix_without_videos_is_a_failed_row(bucket, caption):
    ((row,), _) = caption(f"{bucket}/nothing")
    assert (row.status, row.error) == ("failed", "there is no video below this prefix")


def test_a_bucket_that_is_not_there_is_refused(bucket, caption):
    with pytest.raises(BadOption, match=r"s3://no-such-bucket"):
        caption("s3://no-such-bucket/films")
