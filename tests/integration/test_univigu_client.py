"""Both clients against the real HTTP process."""

import pytest

from contract.errors import ErrorInfo
from contract.records import Status
from univigu_client import ApiError, Client, StillRunning


def test_a_video_is_made_waited_for_and_downloaded(client, worker, tmp_path):
    job = client.create_video("a red circle", seed=4)
    assert (job.kind, job.status) == ("videos", "queued")
    assert worker.jobs.get(job.id).parsed_request().seed == 4
    worker.complete(job.id, video=b"an mp4")
    seen = []
    job = client.wait(job, lambda job: seen.append(job.progress))
    assert (job.status, job.text, seen) == ("completed", "a red circle moves left", [100])
    client.download(job, tmp_path / "v.mp4")
    client.download(job, tmp_path / "v.vtt", "vtt")
    assert (tmp_path / "v.mp4").read_bytes() == b"an mp4"
    assert (tmp_path / "v.vtt").read_text().startswith("WEBVTT")


def test_a_file_is_uploaded_for_its_caption(client, worker, tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"an mp4")
    job = client.create_caption(tmp_path / "in.mp4", instruction="which colour?", seed=2)
    request = worker.jobs.get(job.id).parsed_request()
    assert (request.instruction, request.seed) == ("which colour?", 2)
    assert worker.artifacts.get(request.source) == b"an mp4"
    worker.complete(job.id, "red", seconds=2.5)
    job = client.wait(job)
    assert (job.text, job.duration_seconds) == ("red", 2.5)
    client.download(job, tmp_path / "in.txt", "txt")
    assert (tmp_path / "in.txt").read_text() == "red\n"


def test_a_video_job_is_captioned_without_an_upload(client, worker):
    video = client.create_video("x")
    worker.complete(video.id, video=b"an mp4")
    job = client.create_caption(client.retrieve("videos", video.id), seed=1)
    assert worker.artifacts.get(worker.jobs.get(job.id).parsed_request().source) == b"an mp4"


def test_a_failed_job_is_no_error_of_the_client(client, worker):
    job = client.create_video("x")
    attempt = worker.start(job.id)
    info = ErrorInfo(code="prompt_too_long", message="prompt has 70 tokens")
    worker.jobs.finish(job.id, attempt, Status.FAILED, error=info)
    job = client.wait(job)
    assert (job.status, job.error_code, job.error) == (
        "failed",
        "prompt_too_long",
        "prompt has 70 tokens",
    )


def test_a_refusal_carries_the_servers_words_and_field(client, worker):
    with pytest.raises(ApiError, match="size 7x7 is not offered; allowed: 96x64") as refused:
        client.create_video("x", size="7x7")
    assert (refused.value.status, refused.value.param) == (400, "size")


def test_a_download_that_fails_leaves_no_file(client, worker, tmp_path):
    job = client.create_video("x")
    with pytest.raises(ApiError, match="queued"):
        client.download(job, tmp_path / "v.mp4")
    assert [*tmp_path.glob("*v.mp4*")] == []


def test_a_wait_that_is_over_leaves_the_job_running_until_it_is_cancelled(client, worker):
    job = client.create_video("x")
    with pytest.raises(StillRunning, match=r"is still queued after 0\.1 s"):
        client.wait(job, timeout=0.1)
    assert worker.jobs.get(job.id).status is Status.QUEUED
    client.cancel(job)
    assert client.retrieve("videos", job.id).status == "cancelled"
    client.delete(job)
    with pytest.raises(ApiError) as gone:
        client.retrieve("videos", job.id)
    assert gone.value.status in (404, 410)


def test_one_key_of_ones_own_makes_one_job(client, worker, tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"an mp4")
    jobs = {
        client.create_caption(tmp_path / "in.mp4", seed=1, idempotency_key="mine").id
        for _ in range(3)
    }
    assert len(jobs) == 1
    with pytest.raises(ApiError) as mismatch:
        client.create_caption(tmp_path / "in.mp4", seed=2, idempotency_key="mine")
    assert mismatch.value.code == "idempotency_mismatch"


def test_events_come_from_the_first_to_the_last(client, worker):
    job = client.create_video("x")
    attempt = worker.start(job.id)
    worker.jobs.progress(job.id, attempt, "denoise", 1, 2)
    worker.jobs.cancel(job.id)
    worker.jobs.finish(job.id, attempt, Status.CANCELLED)
    events = list(client.events(job))
    assert [event.type for event in events] == [
        "queued",
        "started",
        "progress",
        "cancel_requested",
        "cancelled",
    ]
    assert (events[2].data["step"], events[2].data["of"]) == (1, 2)


def test_the_loaded_checkpoint_is_named(client, worker):
    assert client.is_ready()
    assert client.checkpoint() == "moving-shapes@0123abcd"


def test_jobs_are_found_by_their_words(client, worker):
    job = client.create_video("x")
    worker.complete(job.id, "a red circle moves left")
    (hit,) = client.search("moving circle")
    assert (hit.kind, hit.id, hit.text) == ("videos", job.id, "a red circle moves left")
    assert client.search("square", limit=1) == []


def test_jobs_are_listed_through_all_pages_and_by_their_states(client, worker):
    made = [client.create_video("a red circle").id for _ in range(23)]
    worker.complete(made[0])
    worker.complete(made[1])
    assert [job.id for job in client.jobs("videos")] == made[::-1]
    assert [job.id for job in client.jobs("videos", "queued")] == made[:1:-1]
    assert [job.id for job in client.jobs("videos", "completed", "failed")] == [made[1], made[0]]
    assert list(client.jobs("captions", "queued")) == []


def test_a_state_that_there_is_not_is_refused(client, worker):
    with pytest.raises(ApiError, match="in_progress") as refused:
        list(client.jobs("videos", "running"))
    assert (refused.value.status, refused.value.param) == (400, "status")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="must be http://HOST"):
        Client(url)
