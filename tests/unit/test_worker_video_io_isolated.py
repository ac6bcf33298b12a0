"""Hostile files are read by a child that is bounded, dies in time and leaves nothing behind."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from video_files import moving_pattern, numbered_video, numbers_of

from worker.video_io import (
    Clip,
    Limits,
    VideoError,
    isolated,
    read_clip,
    read_clip_in_child,
    read_segments_in_child,
)

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "transit").mkdir()
    return tmp_path / "transit"


def _read(path: Path, directory: Path, limits: Limits | None = None) -> Clip:
    return read_clip_in_child(
        path, num_frames=9, height=48, width=64, directory=directory, limits=limits
    )


def test_the_child_reads_what_the_parent_would(tmp_path: Path, directory: Path) -> None:
    path = numbered_video(tmp_path / "a.mp4", count=5)
    clip, expected = _read(path, directory), read_clip(path, num_frames=9, height=48, width=64)
    assert np.array_equal(clip.frames, expected.frames)
    assert (clip.info, clip.repeated_frames) == (expected.info, 4)
    assert list(directory.iterdir()) == []


def test_the_child_cuts_a_video_into_segments(tmp_path: Path, directory: Path) -> None:
    path = numbered_video(tmp_path / "a.mp4", count=50, fps=10)
    segments = read_segments_in_child(
        path, 2.0, num_frames=5, height=32, width=32, directory=directory
    )
    assert [(part.start, part.end) for part in segments] == [(0, 2), (2, 4), (4, 5)]
    shown = [numbers_of(np.load(part.path)) for part in segments]
    assert [(numbers[0], numbers[-1]) for numbers in shown] == [(0, 19), (20, 39), (40, 49)]
    assert [part.repeated_frames for part in segments] == [0, 0, 0]
    assert sorted(directory.iterdir()) == [part.path for part in segments]


def test_a_refusal_of_the_child_is_the_refusal_of_the_call(tmp_path: Path, directory: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(VideoError, match="the file has 0 bytes") as refusal:
        _read(tmp_path / "a.mp4", directory)
    assert refusal.value.code == "empty_video"
    assert list(directory.iterdir()) == []


def test_the_largest_allowed_frames_fit_into_the_default_memory(
    tmp_path: Path, directory: Path
) -> None:
    options = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    path = moving_pattern(tmp_path / "a.mp4", "4096x2304", 0.2, 30, *options)
    assert _read(path, directory).frames.shape == (9, 48, 64, 3)


def test_a_child_over_its_memory_is_refused(tmp_path: Path, directory: Path) -> None:
    path = numbered_video(tmp_path / "a.mp4", count=3)
    limits = Limits(max_memory_bytes=2**30)
    with pytest.raises(VideoError, match="the limit of 1073741824 bytes of memory") as refusal:
        read_clip_in_child(
            path, num_frames=400, height=1024, width=1024, directory=directory, limits=limits
        )
    assert refusal.value.code == "decode_out_of_memory"
    assert list(directory.iterdir()) == []


def test_a_child_that_ignores_its_deadline_is_killed(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "_START_UP_SECONDS", 0.0)  # less than Python needs to start
    with pytest.raises(VideoError, match=r"the limit of 0\.01 s") as refusal:
        _read(numbered_video(tmp_path / "a.mp4"), directory, Limits(max_decode_seconds=0.01))
    assert refusal.value.code == "decode_timeout"
    assert list(directory.iterdir()) == []


def test_a_child_that_dies_is_an_error_with_a_code(
    tmp_path: Path,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(isolated.sys, "executable", shutil.which("false"))
    with pytest.raises(VideoError, match="died with status 1") as refusal:
        _read(numbered_video(tmp_path / "a.mp4"), directory)
    assert refusal.value.code == "decode_crashed"
    assert "status 1" in caplog.text
    assert list(directory.iterdir()) == []


def test_the_child_dies_with_its_parent() -> None:
    grandchild = (
        "from worker.video_io.child import die_with; import os, time; die_with(os.getppid())"
    )
    grandchild += "; print(os.getpid(), flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=isolated.child_environment()
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_the_child_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIVIGU_API_KEYS", "secret")
    assert "secret" not in "".join(isolated.child_environment().values())


def test_video_io_imports_nothing_heavy_or_foreign() -> None:
    names = "{name.partition('.')[0] for name in sys.modules}"
    code = f"import sys, worker.video_io.child; print(*{names})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=isolated.child_environment(),
    )
    assert set(done.stdout.split()).isdisjoint({"torch", "redis", "rq", "fastapi", "pydantic"})
