"""What `make run` does: both directions over HTTP, and an end that leaves nothing running."""

import subprocess
import sys

import psutil
import pytest
from cli_house import environment

from worker.video_io import probe

pytestmark = pytest.mark.timeout(180)


def first_run(folder, **variables):
    (folder / "t").mkdir()
    return subprocess.run(
        [sys.executable, "-m", "cli.first_run", "--out", str(folder / "out")],
        env=environment(folder / "t", **variables),
        capture_output=True,
        text=True,
        timeout=150,
    )


def test_a_prompt_becomes_a_video_with_its_caption_and_that_video_a_caption(
    tiny_checkpoint, tmp_path
):
    run = first_run(tmp_path, UNIVIGU_CHECKPOINT=tiny_checkpoint)
    assert run.returncode == 0, run.stderr
    said = dict(line.split(maxsplit=1) for line in run.stdout.splitlines() if line[0] != "r")
    assert said["prompt"] == "a red circle moving left"
    assert said["caption"]
    assert said["video"] == str(tmp_path / "out" / "video.mp4")
    assert run.stdout.splitlines()[-1].startswith("read back  ")
    assert probe(tmp_path / "out" / "video.mp4").codec == "h264"
    assert [*(tmp_path / "t").iterdir()] == []
    assert [p.cmdline() for p in psutil.process_iter() if _is_of(p, tmp_path)] == []


def test_a_service_that_does_not_start_is_explained(tmp_path):
    run = first_run(tmp_path, UNIVIGU_CHECKPOINT=tmp_path / "nowhere")
    assert run.returncode == 1
    assert "error: the service ended with code 2" in run.stderr
    assert f"checkpoint {tmp_path / 'nowhere'}: there is no model_index.json" in run.stderr
    assert "Traceback" not in run.stderr


def _is_of(process, folder):
    try:
        return str(folder) in process.environ().get("TMPDIR", "")
    except psutil.Error:
        return False
