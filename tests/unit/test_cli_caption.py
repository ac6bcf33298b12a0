"""What `caption` writes, passes over and reports, with a stand-in for the model."""

import json

import pytest

from cli.backend import Description, TextWish
from cli.caption import Desk
from cli.inputs import find_videos
from cli.items import BadOption, ItemFailed
from cli.sidecars import place_sidecars


class StandIn:
    """Tells what is in the file; `bad` cannot be read, `lost` fails for reasons of its own."""

    def __init__(self):
        self.asked = []

    def describe(self, wish, on_step):
        self.asked.append(wish.path.name)
        content = wish.path.read_text()
        if content in ("bad", "lost"):
            raise ItemFailed(f"it is {content}", is_final=content == "bad")
        if content == "wrong":
            raise BadOption("no such model")
        on_step(1, 1)
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


def run(backend, *arguments, out=None, formats=("txt",), resume=False):
    items = find_videos([*map(str, arguments)])
    places = place_sidecars([item for item in items if item.error is None], out, formats)
    desk = Desk(backend, places, resume, lambda at, of: None)
    return [desk.row(item, TextWish(item.path, "why?", 3)) for item in items]


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_texts_lie_beside_their_videos_and_an_error_is_never_one_of_them(backend, library):
    rows = run(backend, library)
    assert [row.status for row in rows] == ["completed", "failed", "completed"]
    assert names(library) == ["a.mp4", "a.txt", "b.error.json", "b.mp4", "d/a.mkv", "d/a.txt"]
    assert (library / "a.txt").read_text() == "shows one\n"
    assert json.loads((library / "b.error.json").read_text())["error"] == "it is bad"


def test_texts_lie_below_the_out_folder_as_the_videos_lie_below_theirs(backend, library, tmp_path):
    run(backend, library, out=tmp_path / "out")
    assert names(tmp_path / "out") == ["a.txt", "b.error.json", "d/a.txt"]
    assert names(library) == ["a.mp4", "b.mp4", "d/a.mkv"]


def test_every_format_holds_the_caption(backend, library):
    run(backend, library / "a.mp4", formats=("txt", "vtt", "srt", "json"))
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


def test_videos_that_differ_in_their_suffix_alone_keep_their_texts_apart(backend, library):
    (library / "a.mov").write_text("three")
    run(backend, library)
    assert (library / "a.mov.txt").read_text() == "shows three\n"
    assert (library / "a.mp4.txt").read_text() == "shows one\n"
    assert not (library / "a.txt").exists()


def test_videos_whose_texts_would_be_one_file_are_refused(backend, library, tmp_path):
    (library / "d" / "a.mp4").write_text("three")
    one, other = library / "a.mp4", library / "d" / "a.mp4"
    rows = run(backend, one, other, out=tmp_path / "out")
    assert [row.status for row in rows] == ["failed", "failed"]
    assert "another video of this call would write" in rows[0].error
    assert names(tmp_path) == [f"library/{name}" for name in names(library)]


def test_resume_passes_over_the_done_and_reports_the_failed_again(backend, library):
    run(backend, library)
    rows = run(backend, library, resume=True)
    assert len(backend.asked) == 3
    assert [(row.status, row.text, row.error) for row in rows] == [
        ("skipped", "shows one", None),
        ("failed", None, "it is bad"),
        ("skipped", "shows two", None),
    ]


def test_resume_does_a_video_again_that_lacks_a_format(backend, library):
    run(backend, library / "a.mp4")
    (row,) = run(backend, library / "a.mp4", formats=("txt", "json"), resume=True)
    assert row.status == "completed"
    assert (library / "a.json").exists()


def test_resume_tries_again_what_failed_for_no_fault_of_the_video(backend, library):
    (library / "a.mp4").write_text("lost")
    (row,) = run(backend, library / "a.mp4")
    assert (row.status, row.error) == ("failed", "it is lost")
    (library / "a.mp4").write_text("found")
    (row,) = run(backend, library / "a.mp4", resume=True)
    assert (row.status, row.text) == ("completed", "shows found")


def test_a_success_forgets_an_earlier_failure(backend, library):
    run(backend, library / "b.mp4")
    (library / "b.mp4").write_text("mended")
    run(backend, library / "b.mp4")
    assert names(library) == ["a.mp4", "b.mp4", "b.txt", "d/a.mkv"]


def test_a_missing_file_is_a_row_and_leaves_no_record(backend, library):
    (row,) = run(backend, library / "c.mp4")
    assert (row.status, row.error) == ("failed", "there is no such file")
    assert names(library) == ["a.mp4", "b.mp4", "d/a.mkv"]


def test_a_text_that_cannot_be_written_fails_its_video_and_leaves_no_half(backend, library):
    (library / "a.srt").mkdir()
    (row,) = run(backend, library / "a.mp4", formats=("txt", "srt"))
    assert row.status == "failed"
    assert "cannot write" in row.error
    assert [name for name in names(library) if "partial" in name] == []


def test_a_wrong_option_ends_the_call(backend, library):
    (library / "a.mp4").write_text("wrong")
    with pytest.raises(BadOption, match="no such model"):
        run(backend, library / "a.mp4")


def test_a_caption_is_unknown_where_only_subtitles_were_written(backend, library):
    run(backend, library / "a.mp4", formats=("vtt",))
    (row,) = run(backend, library / "a.mp4", formats=("vtt",), resume=True)
    assert (row.status, row.text) == ("skipped", None)
