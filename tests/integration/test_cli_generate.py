"""`univigu generate` and `caption` with the model in their own process."""

import json
import os
import signal
import subprocess
import sys

import pytest
from cli_house import environment, json_rows, univigu, until
from video_files import numbered_video

from worker.video_io import probe

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def written(tiny_checkpoint, tmp_path_factory):
    """What a prompts file has become."""
    folder = tmp_path_factory.mktemp("prompts")
    lines = [
        {"prompt": "a red circle"},
        {"prompt": "word " * 5000},
        {"prompt": "a blue square", "seed": 40, "id": "square"},
    ]
    (folder / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ["--seed", 8, "--num-inference-steps", 2, "--json", "--out", folder / "out"]
    run = univigu(
        "generate", "--prompts", folder / "p.jsonl", *options, "--checkpoint", tiny_checkpoint
    )
    return folder / "out", run


def test_every_prompt_has_one_row_and_stdout_has_nothing_else(written):
    out, run = written
    rows = json_rows(run)
    assert [(row["status"], row["seed"]) for row in rows] == [
        ("completed", 8),
        ("failed", 9),
        ("completed", 40),
    ]
    assert rows[0]["video"] == str(out / "a-red-circle-seed8.mp4")
    assert rows[2]["video"] == str(out / "square.mp4")
    assert set(rows[0]) == {"status", "video", "caption", "seed", "prompt", "error"}


def test_a_failed_prompt_says_why_and_makes_the_exit_code_1(written):
    _, run = written
    failed = json_rows(run)[1]
    assert (failed["video"], failed["caption"]) == (None, None)
    assert failed["error"].startswith("prompt has ")
    assert run.returncode == 1
    assert "Traceback" not in run.stderr


def test_a_manifest_lists_what_was_made(written):
    out, run = written
    first, _, last = json_rows(run)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert lines == [
        {"video": row["video"], "prompt": row["prompt"], "caption": row["caption"]}
        | {"split": "train"}
        for row in (first, last)
    ]
    names = {path.name for path in out.iterdir()}
    assert names == {"a-red-circle-seed8.mp4", "square.mp4", "manifest.jsonl"}


def test_captions_of_good_bad_and_missing_files(tiny_checkpoint, tmp_path):
    numbered_video(tmp_path / "good.mp4", count=30)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    files = [tmp_path / name for name in ("good.mp4", "bad.mp4", "missing.mp4")]
    options = ["--formats", "txt,vtt", "--json", "--checkpoint", tiny_checkpoint]
    run = univigu("caption", *files, *options, TMPDIR=_empty(tmp_path))
    good, bad, missing = json_rows(run)
    assert (good["file"], good["status"]) == (str(files[0]), "completed")
    assert (bad["status"], missing["error"]) == ("failed", "there is no such file")
    assert (tmp_path / "good.txt").read_text() == good["text"] + "\n"
    assert not (tmp_path / "bad.txt").exists()
    assert run.returncode == 1
    again = univigu("caption", *files, *options, "--resume")
    assert json_rows(again) == [good | {"status": "skipped"}, bad, missing]
    assert again.returncode == 1
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_ctrl_c_leaves_nothing_half_written(tiny_checkpoint, tmp_path):
    out = tmp_path / "out"
    options = ["--num-inference-steps", "100", "--out", out, "--checkpoint", tiny_checkpoint]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "generate", *["x"] * 50, *map(str, options)],
        env=environment(_empty(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: out.is_dir() and [*out.glob("*.mp4")], 60)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "interrupted"
    assert [path.suffix for path in out.iterdir() if path.name[0] == "."] == []
    for video in out.iterdir():
        assert probe(video).frame_count == 17
    assert [*(tmp_path / "temporary").iterdir()] == []


def _empty(folder):
    (folder / "temporary").mkdir()
    return folder / "temporary"
