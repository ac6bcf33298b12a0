import pytest

from contract.artifacts import MANIFEST, ArtifactStore, job_prefix
from contract.records import JobRecord, Status
from worker.delivery import deliver, find_delivered
from worker.failures import StorageLost
from worker.protocol import SPRITESHEET_FILE, THUMBNAIL_FILE, VIDEO_FILE, Done

JOB = "video_1"


@pytest.fixture
def store(tmp_path):
    return ArtifactStore((tmp_path / "store").as_uri())


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / VIDEO_FILE).write_bytes(b"a video")
    (folder / THUMBNAIL_FILE).write_bytes(b"a picture")
    (folder / SPRITESHEET_FILE).write_bytes(b"many pictures")
    return folder


def claimed(attempt, kind="generate"):
    return JobRecord(JOB, kind, Status.IN_PROGRESS, "{}", created_at=0.0, attempt=attempt)


def done(text="a ball"):
    return Done(text=text, seed=7, stage_durations={"denoise": 1.5})


def test_delivered_result_is_found_by_the_next_attempt(store, workdir):
    result = deliver(store, workdir, claimed(1), done())
    assert find_delivered(store, JOB, before=2) == result
    assert set(result.artifacts) == {"video", "thumbnail", "spritesheet", "caption", "txt"}
    assert result.stored_bytes == sum(store.stat(key)[0] for key in result.artifacts.values())


def test_own_attempt_has_delivered_nothing_yet(store, workdir):
    deliver(store, workdir, claimed(2), done())
    assert find_delivered(store, JOB, before=2) is None


def test_attempt_without_a_manifest_does_not_count(store, workdir, tmp_path):
    deliver(store, workdir, claimed(1), done())
    (tmp_path / "store" / job_prefix(JOB, 1) / MANIFEST).unlink()
    assert find_delivered(store, JOB, before=2) is None


def test_manifest_that_names_a_missing_file_does_not_count(store, workdir, tmp_path):
    result = deliver(store, workdir, claimed(1), done())
    (tmp_path / "store" / result.artifacts["video"]).unlink()
    assert find_delivered(store, JOB, before=2) is None


def test_result_without_text_has_no_caption_files(store, workdir):
    assert set(deliver(store, workdir, claimed(1), done(text=None)).artifacts) == {
        "video",
        "thumbnail",
        "spritesheet",
    }


def test_caption_file_keeps_every_language(store, workdir):
    deliver(store, workdir, claimed(1), done(text="ein Bällchen 球"))
    assert store.get(f"jobs/{JOB}/1/caption.txt").decode() == "ein Bällchen 球\n"


def test_store_that_takes_no_file_is_an_infrastructure_failure(store, workdir, tmp_path):
    (tmp_path / "store" / "jobs").write_bytes(b"in the way")
    with pytest.raises(StorageLost, match="took no file"):
        deliver(store, workdir, claimed(1), done())


def test_delivery_from_a_folder_that_is_removed_meanwhile_has_no_manifest(store, workdir):
    (workdir / THUMBNAIL_FILE).unlink()
    with pytest.raises(StorageLost):
        deliver(store, workdir, claimed(1), done())
    assert find_delivered(store, JOB, before=2) is None


def test_caption_job_delivers_its_text_alone(store, workdir):
    result = deliver(store, workdir, claimed(1, kind="understand"), done())
    assert set(result.artifacts) == {"caption", "txt"}
