"""What `caption` writes, passes over and reports, with a stand-in for the model."""

import json
from unittest.mock import Mock

import pytest

from cli.backend import Description
from cli.captioning import Desk, Question
from cli.index import CaptionIndex
from cli.inputs import find_videos
from cli.items import BadOption, ItemFailed
from cli.sidecars import Style, place_sidecars
from contract.subtitles import Cue


class StandIn:
    """Tells what is in the file; `bad` cannot be read, `lost` fails for reasons of its own."""

    def __init__(self):
        self.asked = []
        self.name = "model@1"

    def checkpoint(self):
        return self.name

    def describe(self, wish, on_step):
        self.asked.append(wish.path.name)
        content = wish.path.read_text()
        if content in ("bad", "lost"):
            raise ItemFailed(f"it is {content}", is_final=content == "bad")
        if content == "wrong":
            raise BadOption("no such model")
        on_step(1, 1)
        if wish.segment_seconds:
            return Description("one two", 2.0, [Cue(0, 1.5, "one"), Cue(1.5, 2.0, "two")])
        return Description(f"shows {content}", 2.0)


@pytest.fixture
def backend():
    return StandIn()


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "library"
    for name, content in {"a.mp4": "one", "b.mp4": "bad", "d/a.mkv": "two"}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.fixture
def run(backend, tmp_path):
    """Caption the arguments; one index for all calls of a test."""
    index = CaptionIndex(tmp_path / "index" / "captions.db")

    def call(*arguments, out=None, formats=("txt",), resume=False, asked=None, language=None):
        items = find_videos([*map(str, arguments)])
        good = [item for item in items if item.error is None]
        places = place_sidecars(good, out, Style(formats, language))
        question = asked or Question("why?", 3)
        desk = Desk(backend, index, question, resume, lambda at, of: None)
        return [desk.row(places, item) for item in items]

    with index:
        call.index = index
        yield call


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_texts_lie_beside_their_videos_and_an_error_is_never_one_of_them(run, library):
    rows = run(library)
    assert [row.status for row in rows] == ["completed", "failed", "completed"]
    assert names(library) == ["a.mp4", "a.txt", "b.error.json", "b.mp4", "d/a.mkv", "d/a.txt"]
    assert (library / "a.txt").read_text() == "shows one\n"
    assert json.loads((library / "b.error.json").read_text())["error"] == "it is bad"


def test_texts_lie_below_the_out_folder_as_the_videos_lie_below_theirs(run, library, tmp_path):
    run(library, out=tmp_path / "out")
    assert names(tmp_path / "out") == ["a.txt", "b.error.json", "d/a.txt"]
    assert names(library) == ["a.mp4", "b.mp4", "d/a.mkv"]


def test_every_format_holds_the_caption(run, library):
    run(library / "a.mp4", formats=("txt", "vtt", "srt", "json"))
    assert (library / "a.vtt").read_text() == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nshows one\n"
    )
    assert (library / "a.srt").read_text() == "1\n00:00:00,000 --> 00:00:02,000\nshows one\n"
    assert json.loads((library / "a.json").read_text()) == {
        "file": str(library / "a.mp4"),
        "text": "shows one",
        "instruction": "why?",
        "seed": 3,
    }


def test_videos_that_differ_in_their_suffix_alone_keep_their_texts_apart(run, library):
    (library / "a.mov").write_text("three")
    run(library)
    assert (library / "a.mov.txt").read_text() == "shows three\n"
    assert (library / "a.mp4.txt").read_text() == "shows one\n"
    assert not (library / "a.txt").exists()


def test_videos_whose_texts_would_be_one_file_are_refused(run, library, tmp_path):
    (library / "d" / "a.mp4").write_text("three")
    one, other = library / "a.mp4", library / "d" / "a.mp4"
    rows = run(one, other, out=tmp_path / "out")
    assert [row.status for row in rows] == ["failed", "failed"]
    assert "another video of this call would write" in rows[0].error
    assert not (tmp_path / "out").exists()


def test_resume_passes_over_the_done_and_reports_the_failed_again(run, backend, library):
    run(library)
    rows = run(library, resume=True)
    assert len(backend.asked) == 3
    assert [(row.status, row.text, row.error) for row in rows] == [
        ("skipped", "shows one", None),
        ("failed", None, "it is bad"),
        ("skipped", "shows two", None),
    ]


def test_resume_does_a_video_again_that_lacks_a_format(run, library):
    run(library / "a.mp4")
    (row,) = run(library / "a.mp4", formats=("txt", "json"), resume=True)
    assert row.status == "completed"
    assert (library / "a.json").exists()


def test_resume_tries_again_what_failed_for_no_fault_of_the_video(run, library):
    (library / "a.mp4").write_text("lost")
    (row,) = run(library / "a.mp4")
    assert (row.status, row.error) == ("failed", "it is lost")
    (library / "a.mp4").write_text("found")
    (row,) = run(library / "a.mp4", resume=True)
    assert (row.status, row.text) == ("completed", "shows found")


def test_a_success_forgets_an_earlier_failure(run, library):
    run(library / "b.mp4")
    (library / "b.mp4").write_text("mended")
    run(library / "b.mp4")
    assert names(library) == ["a.mp4", "b.mp4", "b.txt", "d/a.mkv"]


def test_a_missing_file_is_a_row_and_leaves_no_record(run, library):
    (row,) = run(library / "c.mp4")
    assert (row.status, row.error) == ("failed", "there is no such file")
    assert names(library) == ["a.mp4", "b.mp4", "d/a.mkv"]


def test_a_text_that_cannot_be_written_fails_its_video_and_leaves_no_half(run, library):
    (library / "a.srt").mkdir()
    (row,) = run(library / "a.mp4", formats=("txt", "srt"))
    assert row.status == "failed"
    assert "cannot write" in row.error
    assert [name for name in names(library) if "partial" in name] == []


def test_a_wrong_option_ends_the_call(run, library):
    (library / "a.mp4").write_text("wrong")
    with pytest.raises(BadOption, match="no such model"):
        run(library / "a.mp4")


def test_resume_knows_a_text_that_no_file_holds_as_it_was(run, library):
    run(library / "a.mp4", formats=("vtt",))
    (row,) = run(library / "a.mp4", formats=("vtt",), resume=True)
    assert (row.status, row.text) == ("skipped", "shows one")


def test_resume_does_again_whatever_has_changed(run, backend, library):
    run(library / "a.mp4")
    (library / "a.mp4").write_text("another")
    (row,) = run(library / "a.mp4", resume=True)
    assert (row.status, row.text) == ("completed", "shows another")
    backend.name = "model@2"
    (row,) = run(library / "a.mp4", resume=True)
    assert row.status == "completed"
    (row,) = run(library / "a.mp4", resume=True, asked=Question("why?", 4))
    assert row.status == "completed"
    (row,) = run(library / "a.mp4", resume=True, asked=Question("why?", 4))
    assert row.status == "skipped"
    assert len(backend.asked) == 4


def test_resume_tries_a_failed_video_again_whose_content_has_changed(run, library):
    run(library / "b.mp4")
    (library / "b.mp4").write_text("mended")
    (row,) = run(library / "b.mp4", resume=True)
    assert (row.status, row.text) == ("completed", "shows mended")


def test_resume_asks_nothing_about_content_it_knows_from_elsewhere(run, backend, library):
    run(library / "a.mp4")
    (library / "a.mp4").rename(library / "moved.mp4")
    (row,) = run(library / "moved.mp4", resume=True)
    assert (row.status, row.text) == ("completed", "shows one")
    assert (library / "moved.txt").read_text() == "shows one\n"
    assert len(backend.asked) == 1


def test_resume_takes_texts_for_good_that_the_index_does_not_know(run, backend, library):
    (library / "a.txt").write_text("by hand\n")
    (row,) = run(library / "a.mp4", resume=True)
    assert (row.status, row.text, backend.asked) == ("skipped", "by hand", [])


def test_a_file_that_has_not_changed_is_not_read_again(run, library, monkeypatch):
    run(library / "a.mp4")
    monkeypatch.setattr("hashlib.file_digest", None)
    (row,) = run(library / "a.mp4", resume=True)
    assert row.status == "skipped"


def test_subtitles_can_be_named_by_their_language(run, library):
    run(library / "a.mp4", formats=("txt", "vtt", "srt"), language="pt-BR")
    assert {"a.txt", "a.pt-BR.vtt", "a.pt-BR.srt"} < {*names(library)}
    (row,) = run(library / "a.mp4", formats=("vtt",), language="pt-BR", resume=True)
    assert row.status == "skipped"


def test_each_segment_has_its_cue(run, library):
    (library / "a.mp4").write_text("long")
    run(library / "a.mp4", formats=("srt", "json"), asked=Question(None, 0, 1.5))
    assert (library / "a.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:01,500\none\n\n2\n00:00:01,500 --> 00:00:02,000\ntwo\n"
    )
    segments = json.loads((library / "a.json").read_text())["segments"]
    assert segments[1] == {"start": 1.5, "end": 2.0, "text": "two"}


def test_what_was_told_can_be_searched(run, library):
    run(library)
    (match,) = run.index.search("showing TWO", 5)
    assert (match.file, match.text) == (str(library / "d" / "a.mkv"), "shows two")


def test_a_file_that_vanishes_fails(library):
    items = find_videos([str(library / "a.mp4")])
    (library / "a.mp4").unlink()
    with pytest.raises(ItemFailed, match="cannot read it: No such file"):
        items[0].stamp()


def test_a_call_that_is_killed_before_it_writes_loses_no_text(run, backend, library, monkeypatch):
    run(library / "a.mp4")
    (library / "a.mp4").write_text("another")
    with monkeypatch.context() as patched:
        patched.setattr("cli.shelves.FolderShelf.write", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(library / "a.mp4", resume=True)
    (row,) = run(library / "a.mp4", resume=True)
    assert (row.status, row.text) == ("completed", "shows another")
    assert (library / "a.txt").read_text() == "shows another\n"
    assert len(backend.asked) == 2
