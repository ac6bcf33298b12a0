"""Arguments of `caption` become videos: files, folders and globs, each video once."""

from pathlib import Path

import pytest

from cli.inputs import find_videos


@pytest.fixture
def library(tmp_path):
    for name in ("b.mp4", "a.MKV", "deep/c.webm", "notes.txt", ".hidden.mp4", "odd[1].mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "folder.mp4").mkdir()
    return tmp_path


def found(*arguments):
    return [(item.path, item.below, item.error) for item in find_videos([*map(str, arguments)])]


def test_a_folder_gives_its_videos_sorted_and_with_their_place_in_it(library):
    names = [str(below) for _, below, _ in found(library)]
    assert names == ["a.MKV", "b.mp4", "deep/c.webm", "odd[1].mp4"]
    assert found(library)[2][0] == library / "deep" / "c.webm"


def test_a_named_file_is_taken_whatever_its_suffix(library):
    assert found(library / "notes.txt") == [(library / "notes.txt", Path("notes.txt"), None)]


def test_a_glob_gives_its_matches(library):
    assert [path.name for path, _, _ in found(library / "[ab].*")] == ["a.MKV", "b.mp4"]


def test_two_stars_go_down_into_folders(library):
    assert [path.name for path, _, _ in found(library / "**" / "*.webm")] == ["c.webm"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(library):
    assert found(library / "odd[1].mp4")[0][0] == library / "odd[1].mp4"


def test_a_video_named_twice_is_found_once(library):
    assert len(found(library / "b.mp4", library, library / "b.*")) == 4


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nothing.mp4", "there is no such file"),
        ("*.avi", "no file matches"),
        ("folder.mp4", "there is no video in this folder"),
    ],
)
def test_an_argument_that_names_no_video_is_a_failed_item(library, name, error):
    assert found(library / name) == [(library / name, Path(name), error)]


def test_a_relative_path_becomes_absolute(library, monkeypatch):
    monkeypatch.chdir(library)
    assert found("b.mp4") == [(library / "b.mp4", Path("b.mp4"), None)]


def test_a_manifest_gives_the_videos_of_its_lines(library):
    lines = ['{"video": "deep/c.webm", "prompt": "x"}', "", '{"video": "gone.mp4"}', "[1]"]
    manifest = library / "all.jsonl"
    manifest.write_text("\n".join([*lines, f'{{"video": "{library / "b.mp4"}"}}']))
    assert found(manifest) == [
        (library / "deep" / "c.webm", Path("deep/c.webm"), None),
        (library / "gone.mp4", Path("gone.mp4"), "there is no such file"),
        (
            library / "all.jsonl:4",
            Path("all.jsonl:4"),
            'the line is no JSON object with a path "video"',
        ),
        (library / "b.mp4", Path("b.mp4"), None),
    ]


def test_a_file_outside_the_manifests_folder_keeps_its_name_alone(library):
    manifest = library / "deep" / "all.jsonl"
    manifest.write_text('{"video": "../b.mp4"}')
    assert [below for _, below, _ in found(manifest)] == [Path("b.mp4")]
