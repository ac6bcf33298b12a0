"""Rows as people and programs read them, and how they end the command."""

import json

import pytest
import typer

from cli.items import Rows, TextRow, VideoRow, write_lines

MADE = VideoRow("completed", "/out/v.mp4", "a red circle", 3, "red", None)
LOST = VideoRow("failed", None, None, 4, "blue", "no memory")


def test_people_read_the_path_and_the_caption_or_why_there_is_none(capsys):
    rows = Rows(as_json=False)
    rows.add(MADE)
    rows.add(LOST)
    rows.add(TextRow("/in.mp4", "skipped", "a red circle", None))
    rows.add(TextRow("/in.avi", "failed", None, "no video"))
    assert capsys.readouterr().out.splitlines() == [
        "/out/v.mp4",
        "  a red circle",
        "failed: 'blue': no memory",
        "/in.mp4 (skipped: done before)",
        "  a red circle",
        "failed: /in.avi: no video",
    ]


def test_programs_read_one_object_per_line(capsys):
    rows = Rows(as_json=True)
    rows.add(MADE)
    rows.add(TextRow("/in.mp4", "completed", "two\nlines", None))
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "status": "completed",
        "video": "/out/v.mp4",
        "caption": "a red circle",
        "seed": 3,
        "prompt": "red",
        "error": None,
    }
    assert second == {"file": "/in.mp4", "status": "completed", "text": "two\nlines", "error": None}


def test_one_failed_row_makes_the_exit_code_1():
    rows = Rows(as_json=True)
    rows.add(LOST)
    rows.add(MADE)
    with pytest.raises(typer.Exit) as ended:
        rows.finish()
    assert ended.value.exit_code == 1


def test_no_failed_row_ends_well():
    rows = Rows(as_json=True)
    rows.add(MADE)
    rows.finish()


def test_lines_that_cannot_be_written_leave_the_old_file(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write_lines(path, [{"a": 1}])
    with pytest.raises(TypeError):
        write_lines(path, [{"a": 2}, object()])
    assert path.read_text() == '{"a": 1}\n'
    assert [*tmp_path.iterdir()] == [path]
