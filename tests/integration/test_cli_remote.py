"""The backend that is a server: one job per item, and none twice."""

import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from cli_house import environment, until

from cli.backend import TextWish, VideoWish
from cli.items import BadOption, ItemFailed
from cli.remote import RemoteModel
from contract.errors import ErrorInfo
from contract.records import Status
from univigu_client import Client


@pytest.fixture
def backend(live_url):
    with Client(live_url) as client:
        yield RemoteModel(client)


@pytest.fixture
def wish(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"an mp4")
    return TextWish(tmp_path / "clip.mp4", None, 3, key="hash of content and question")


@pytest.fixture
def serve(worker):
    """Let the next job end in some way once it is looked at; gives the callback for steps."""

    def by(end):
        def on_step(at, of):
            for job_id in worker.jobs.live_ids():
                end(job_id)

        return on_step

    return by


def fail(worker, code):
    def end(job_id):
        info = ErrorInfo(code=code, message=f"it is {code}")
        worker.jobs.finish(job_id, worker.start(job_id), Status.FAILED, error=info)

    return end


def jobs(worker):
    return worker.jobs.get_many(worker.jobs.list_ids("understand", 10, None, newest_first=False))


def test_a_video_is_made_whole_with_its_caption(backend, worker, serve, tmp_path):
    wish = VideoWish("a red circle", "joint", 4, 2, None)
    caption = backend.make_video(
        wish, tmp_path / "v.mp4", serve(lambda job: worker.complete(job, video=b"an mp4"))
    )
    assert caption == "a red circle moves left"
    assert (tmp_path / "v.mp4").read_bytes() == b"an mp4"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_text_comes_with_the_playing_time(backend, worker, serve, wish):
    found = backend.describe(wish, serve(lambda job: worker.complete(job, "red", seconds=2.5)))
    assert (found.text, found.seconds, [*found.segments]) == ("red", 2.5, [])


def test_a_job_that_a_killed_call_has_started_is_found_again(backend, worker, serve, wish):
    def die(at, of):
        raise SystemExit

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Client, "cancel", lambda self, job: None)  # it had no time for that
        with pytest.raises(SystemExit):
            backend.describe(wish, die)
    backend.describe(wish, serve(lambda job: worker.complete(job, "red", seconds=1)))
    assert len(jobs(worker)) == 1


def test_an_interrupted_job_is_cancelled_and_another_takes_its_place(backend, worker, serve, wish):
    def interrupt(at, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backend.describe(wish, interrupt)
    assert [job.status for job in jobs(worker)] == [Status.CANCELLED]
    found = backend.describe(wish, serve(lambda job: worker.complete(job, "red", seconds=1)))
    assert found.text == "red"
    assert len(jobs(worker)) == 2


def test_a_video_that_no_worker_can_read_is_not_sent_again(backend, worker, serve, wish):
    for _ in range(2):
        with pytest.raises(ItemFailed, match="it is invalid_video") as failed:
            backend.describe(wish, serve(fail(worker, "invalid_video")))
        assert failed.value.is_final
    assert len(jobs(worker)) == 1


def test_what_failed_for_no_fault_of_the_video_is_sent_again(backend, worker, serve, wish):
    with pytest.raises(ItemFailed, match="it is worker_lost") as failed:
        backend.describe(wish, serve(fail(worker, "worker_lost")))
    assert not failed.value.is_final
    backend.describe(wish, serve(lambda job: worker.complete(job, "red", seconds=1)))
    assert len(jobs(worker)) == 2


def test_a_job_that_was_deleted_is_made_again(backend, worker, serve, wish):
    complete = serve(lambda job: worker.complete(job, "red", seconds=1))
    backend.describe(wish, complete)
    worker.jobs.delete(jobs(worker)[0].id)
    assert backend.describe(wish, complete).text == "red"


def test_an_option_that_the_server_refuses_is_the_commands(backend, worker, wish):
    with pytest.raises(BadOption, match="segment_seconds"):
        backend.describe(replace(wish, segment_seconds=0.1), lambda at, of: None)


def test_a_server_that_is_away_fails_the_item_for_now(wish):
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ItemFailed, match="no answer") as failed:
            RemoteModel(client).describe(wish, lambda at, of: None)
    assert not failed.value.is_final


def test_ctrl_c_cancels_every_job_and_leaves_no_text(live_url, worker, tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.mp4").write_text(f"clip {number}")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "cli.main",
            "caption",
            str(folder),
            "--url",
            live_url,
            "--jobs",
            "3",
        ],
        env=environment(tmp_path, UNIVIGU_INDEX=tmp_path / "captions.db"),
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(worker.jobs.live_ids()) == 3, 60)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, "interrupted")
    assert {job.status for job in jobs(worker)} == {Status.CANCELLED}
    assert sorted(path.name for path in folder.iterdir()) == [f"{n}.mp4" for n in range(6)]
