import os
import stat
import tempfile

import pytest

from worker.run_folder import RunFolder, remove_abandoned
from worker.settings import WorkerSettings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return WorkerSettings(redis_url="redis://:secret@127.0.0.1:1/0", lease_seconds=7)


def test_child_reads_the_settings_of_its_supervisor(settings, monkeypatch):
    run, lock = RunFolder.create(settings)
    monkeypatch.setenv("UNIVIGU_LEASE_SECONDS", "99")
    assert RunFolder(run.path).settings() == settings
    os.close(lock)


def test_nobody_else_may_look_into_the_folder(settings):
    run, lock = RunFolder.create(settings)
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    os.close(lock)


def test_every_supervisor_gets_a_socket_of_its_own(settings):
    (first, lock), (second, other) = RunFolder.create(settings), RunFolder.create(settings)
    assert first.socket_path != second.socket_path
    os.close(lock)
    os.close(other)


def test_folder_is_abandoned_only_when_its_last_process_has_gone(settings):
    run, lock = RunFolder.create(settings)
    inherited = os.dup(lock)
    os.close(lock)
    remove_abandoned()
    assert run.path.exists()
    os.close(inherited)
    remove_abandoned()
    assert not run.path.exists()


def test_folder_of_another_program_is_left_alone(settings, tmp_path):
    other = tmp_path / "univigu-notes"
    other.mkdir()
    remove_abandoned()
    assert other.exists()


def test_restarted_slot_finds_its_folder_empty(settings):
    run, lock = RunFolder.create(settings)
    (run.empty_folder("generate-0") / "video.mp4").write_bytes(b"half")
    assert list(run.empty_folder("generate-0").iterdir()) == []
    os.close(lock)


def test_temporary_folder_too_deep_for_a_socket_is_refused(settings, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 107)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(ValueError, match="the limit is 107: set TMPDIR"):
        RunFolder.create(settings)
    assert list(deep.iterdir()) == []
