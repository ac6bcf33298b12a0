"""The `caption` and `search` commands as a whole, with a stand-in for the model."""

import json
from contextlib import contextmanager, nullcontext

import pytest
from typer.testing import CliRunner

from cli.backend import Description
from cli.items import ItemFailed
from cli.main import app


class StandIn:
    """Tells what is in the file; several at a time, as a server would."""

    max_jobs = usual_jobs = 8

    def for_many(self, count, index):
        return nullcontext(self)

    def checkpoint(self):
        return "model@1"

    def describe(self, wish, on_step):
        on_step(1, 1)
        content = wish.path.read_text()
        if content == "bad":
            raise ItemFailed("it is bad", is_final=True)
        return Description(f"shows {content}", 2.0)


@pytest.fixture
def univigu(tmp_path, monkeypatch):
    """Run the command; gives its result."""

    @contextmanager
    def open_backend(url, checkpoint):
        yield StandIn()

    monkeypatch.setattr("cli.backend.open_backend", open_backend)
    monkeypatch.setenv("UNIVIGU_INDEX", str(tmp_path / "captions.db"))
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "library"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.mp4").write_text("bad" if number == 5 else f"number {number}")
    return folder


def rows_of(run):
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_every_video_has_its_row_in_the_order_given(univigu, library):
    run = univigu("caption", library, "--json", "--jobs", 3)
    rows = {row["file"]: row["status"] for row in rows_of(run)}
    assert [*rows] == [str(path) for path in sorted(library.glob("*.mp4"))]
    assert [name[-6:] for name, status in rows.items() if status == "failed"] == ["05.mp4"]
    assert run.exit_code == 1


def test_shards_share_a_library_and_a_report_collects_the_failures(univigu, library, tmp_path):
    told = []
    for number in (1, 2):
        errors = tmp_path / f"{number}.jsonl"
        shard = ["--shard", f"{number}/2", "--errors", errors]
        rows = rows_of(univigu("caption", library, "--json", *shard))
        told += [row["file"] for row in rows]
        failed = [json.loads(line) for line in errors.read_text().splitlines()]
        assert failed == [row for row in rows if row["status"] == "failed"]
    assert sorted(told) == [str(path) for path in sorted(library.glob("*.mp4"))]


def test_a_watch_goes_on_until_it_is_interrupted(univigu, library, monkeypatch, tmp_path):
    looks = iter(range(4))

    def sleep(_):
        look = next(looks)
        if look == 1:
            (library / "new.mp4").write_text("something new")
        if look == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.watching.time.sleep", sleep)
    errors = tmp_path / "errors.jsonl"
    run = univigu("caption", library, "--json", "--jobs", 1, "--watch", 1, "--errors", errors)
    assert [row["file"][-7:] for row in rows_of(run)][-1] == "new.mp4"
    assert len(rows_of(run)) == 13
    assert (run.exit_code, len(errors.read_text().splitlines())) == (130, 1)


def test_what_was_captioned_is_found(univigu, library):
    univigu("caption", library)
    run = univigu("search", "showing", "number", "7", "--json")
    assert rows_of(run) == [
        {"file": str(library / "07.mp4"), "text": "shows number 7", "instruction": None}
    ]
    assert univigu("search", "number", "--limit", 3).stdout.count("shows") == 3
    nothing = univigu("search", "elephant")
    assert (nothing.exit_code, nothing.stdout) == (0, "")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--shard", "3/2"], "--shard '3/2': must be I/N"),
        (["--language", "English!"], "--language 'English!': must be a language tag"),
        (["--formats", "txt,doc"], "--formats 'doc': allowed are txt, vtt, srt, json, nfo"),
        (["--jobs", "9"], "--jobs 9: at most 8"),
        (["--index", "/dev/null/x"], "--index /dev/null/x"),
        (["--errors", "/dev/null/x"], "--errors /dev/null/x"),
    ],
)
def test_an_option_that_is_wrong_is_refused(univigu, library, option, message):
    run = univigu("caption", library, *option)
    assert (run.exit_code, message in run.stderr) == (2, True)
