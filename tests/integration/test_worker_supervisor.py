"""A whole worker with a stand-in for the model: what survives when a process of it dies."""

import signal

import psutil
import pytest
from rq.job import JobStatus
from video_files import numbered_video
from worker_house import House, until

from cli.embedded import EmbeddedRedis
from contract.engine_status import read_capabilities, warm_workers
from contract.records import Status
from worker.delivery import deliver
from worker.protocol import SPRITESHEET_FILE, THUMBNAIL_FILE, VIDEO_FILE, Done
from worker.tickets import enqueue

pytestmark = pytest.mark.timeout(90)

LEASE = 3


@pytest.fixture(scope="module")
def database(redis_server):
    return redis_server.url.removesuffix("/0") + "/4"


@pytest.fixture(scope="module")
def shared(database, tmp_path_factory):
    """One worker for all tests that leave it well."""
    house = _house(database, tmp_path_factory.mktemp("w"))
    house.start()
    yield house
    house.close()


@pytest.fixture(scope="module")
def small_video(tmp_path_factory):
    return numbered_video(tmp_path_factory.mktemp("v") / "in.mp4", count=30).read_bytes()


@pytest.fixture
def house(redis_server, tmp_path):
    """A worker of the test's own, not started."""
    house = _house(redis_server.url.removesuffix("/0") + "/5", tmp_path)
    house.redis.flushdb()
    yield house
    house.close()


def _house(url, folder):
    return House(
        url,
        folder,
        lease_seconds=LEASE,
        beat_seconds=1,
        engine_silence_seconds=3,
        grace_seconds=0.3,
        generate_slots=2,
        understand_slots=1,
    )


def test_generate_job_is_delivered_with_its_manifest(shared):
    job_id = shared.generate("a red ball")
    record = shared.completed(job_id)
    prefix = f"jobs/{job_id}/1/"
    pictures = ["spritesheet.jpg", "thumbnail.jpg"]
    names = ["caption.json", "caption.txt", "manifest.json", *pictures, "video.mp4"]
    assert shared.artifacts.list(prefix) == [prefix + name for name in names]
    assert shared.artifacts.get(record.result.artifacts["video"]) == b"a video of a red ball"
    assert shared.artifacts.get(prefix + "caption.txt") == b"caption of a red ball\n"
    assert shared.artifacts.get(prefix + "manifest.json").decode() == (
        record.result.model_dump_json()
    )
    assert record.result.text == "caption of a red ball"


def test_every_step_is_reported_in_order(shared):
    job_id = shared.generate(steps=4)
    shared.completed(job_id)
    assert shared.steps(job_id) == [[1, 2, 3, 4]]
    assert shared.events(job_id)[0] == "queued"
    assert shared.events(job_id)[-1] == "completed"


def test_request_that_the_model_refuses_fails_with_its_words(shared):
    record = shared.ended(shared.generate("refuse"))
    assert (record.status, record.error.code) == (Status.FAILED, "invalid_request")
    assert record.error.message == "height=7: must be a multiple of 8"
    assert record.attempt == 1


def test_defect_in_the_engine_fails_the_job_without_its_traceback(shared):
    record = shared.ended(shared.generate("defect"))
    assert record.error.code == "internal_error"
    assert "eyes" not in record.error.message


def test_cancel_of_a_running_job_ends_it_within_steps(shared):
    job_id = shared.generate(steps=1000)
    shared.running(job_id)
    assert shared.jobs.cancel(job_id) is Status.IN_PROGRESS
    record = shared.ended(job_id, 5)
    assert record.status is Status.CANCELLED
    assert record.step < 100
    assert shared.completed(shared.generate()).attempt == 1


def test_cancel_is_seen_while_the_engine_makes_no_step(shared):
    job_id = shared.generate(steps=1000)
    shared.running(job_id)
    engine = shared.child("stand_in_engine")
    engine.send_signal(signal.SIGSTOP)
    shared.jobs.cancel(job_id)
    assert shared.ended(job_id, 2.5).status is Status.CANCELLED
    engine.send_signal(signal.SIGCONT)
    assert shared.completed(shared.generate()).attempt == 1


def test_retry_that_finds_all_delivered_only_finalises(shared, tmp_path):
    request = shared.request("a red ball", steps=1000)
    job_id = shared.submit(request, enqueued=False)
    assert shared.jobs.claim(job_id, "a slot that dies after its manifest") == 1
    done = Done(text="made before", seed=7, stage_durations={})
    for name in (VIDEO_FILE, THUMBNAIL_FILE, SPRITESHEET_FILE):
        (tmp_path / name).write_bytes(b"made before")
    result = deliver(shared.artifacts, tmp_path, shared.jobs.get(job_id), done)
    enqueue(shared.queues["generate"], job_id)
    record = shared.completed(job_id)
    assert (record.result, record.attempt) == (result, 2)
    assert shared.steps(job_id) == [[], []]


def test_cancel_of_a_queued_job_makes_its_ticket_void(shared):
    busy = [shared.generate(steps=1000) for _ in range(2)]
    for job_id in busy:
        shared.running(job_id)
    waiting = shared.generate()
    assert shared.jobs.cancel(waiting) is Status.CANCELLED
    for job_id in busy:
        shared.jobs.cancel(job_id)
    shared.completed(shared.generate())
    assert shared.jobs.get(waiting).attempt == 0
    assert shared.events(waiting) == ["queued", "cancelled"]


def test_job_deleted_while_it_runs_is_let_go_and_leaves_nothing(shared):
    job_id = shared.generate(steps=1000)
    shared.running(job_id)
    ticket = shared.queues["generate"].fetch_job(job_id)
    shared.jobs.delete(job_id)
    until(lambda: ticket.get_status() == JobStatus.FINISHED)
    assert shared.jobs.get(job_id) is None
    assert shared.artifacts.list(f"jobs/{job_id}/") == []


def test_caption_does_not_wait_for_the_end_of_a_video(shared, small_video):
    shared.artifacts.put("uploads/v/source", small_video, "video/mp4")
    video = shared.generate(steps=1000)
    shared.running(video)
    shared.completed(shared.understand("uploads/v/source"))
    assert shared.jobs.get(video).status is Status.IN_PROGRESS
    shared.jobs.cancel(video)
    shared.ended(video)


def test_job_of_a_killed_engine_is_tried_again_and_completes(shared):
    job_id = shared.generate(steps=40)
    shared.running(job_id)
    shared.child("stand_in_engine").kill()
    record = shared.completed(job_id)
    assert record.attempt == 2
    assert shared.retries_left(job_id) == 1


def test_hung_engine_is_killed_and_its_job_tried_again(shared):
    job_id = shared.generate(steps=40)
    shared.running(job_id)
    shared.child("stand_in_engine").send_signal(signal.SIGSTOP)
    assert shared.completed(job_id).attempt == 2


def test_job_that_kills_every_engine_ends_as_worker_lost(shared):
    record = shared.ended(shared.generate("poison"))
    assert (record.status, record.error.code) == (Status.FAILED, "worker_lost")
    assert record.attempt == 3
    assert shared.completed(shared.generate()).attempt == 1


def test_job_of_a_killed_slot_is_tried_again_after_its_lease(shared):
    job_id = shared.generate(steps=80)
    shared.running(job_id)
    shared.holder(job_id).kill()
    assert shared.completed(job_id).attempt == 2


def test_slot_that_was_paused_past_its_lease_writes_nothing(shared):
    job_id = shared.generate(steps=100)
    shared.running(job_id)
    zombie = shared.holder(job_id)
    zombie.send_signal(signal.SIGSTOP)
    shared.running(job_id, attempt=2)
    zombie.send_signal(signal.SIGCONT)
    record = shared.completed(job_id)
    assert shared.steps(job_id)[1] == list(range(1, 101))
    assert shared.events(job_id).count("completed") == 1
    assert {key.split("/")[2] for key in shared.artifacts.list(f"jobs/{job_id}/")} == {"2"}
    assert record.attempt == 2


def test_sigterm_hands_jobs_back_at_no_retry_and_leaves_nothing_behind(house):
    house.start()
    family = [house.worker, *house.worker.children(recursive=True)]
    jobs = [house.generate(steps=60), house.generate(steps=60)]
    for job_id in jobs:
        house.running(job_id)
    assert house.stop() == 0
    assert [house.jobs.get(job_id).status for job_id in jobs] == [Status.QUEUED, Status.QUEUED]
    assert [house.retries_left(job_id) for job_id in jobs] == [2, 2]
    assert sorted(house.queues["generate"].job_ids) == sorted(jobs)
    assert [process for process in family if process.is_running()] == []
    assert house.leftovers() == []
    assert warm_workers(house.redis) == 0
    house.start()
    assert [house.completed(job_id).attempt for job_id in jobs] == [2, 2]


def test_killed_supervisor_takes_its_children_along_and_the_next_one_cleans_up(house):
    house.start()
    job_id = house.generate(steps=1000)
    house.running(job_id)
    children = house.worker.children(recursive=True)
    house.worker.kill()
    _, alive = psutil.wait_procs([house.worker, *children], 20)
    assert alive == []
    assert house.jobs.get(job_id).status is Status.QUEUED
    assert house.retries_left(job_id) == 2
    house.redis.flushdb()
    house.start()
    assert len(house.leftovers()) == 1
    assert read_capabilities(house.redis).checkpoint == "stand-in@0"


def test_running_job_outlives_a_restart_of_redis(tmp_path):
    with EmbeddedRedis(tmp_path / "redis") as server:
        house = _house(server.url, tmp_path)
        house.start()
        job_id = house.generate(steps=60)
        house.running(job_id)
        server.stop()
        server.start()
        assert house.completed(job_id).attempt == 1
        assert house.stop() == 0
        house.close()
