"""Every kind of process is killed at random moments: no accepted job is lost or done twice."""

import random
import signal
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import av
import httpx2
import pytest
from chaos_house import ChaosHouse, Monkey
from cli_house import until
from video_files import numbered_video

from contract.artifacts import job_prefix
from contract.events import read_events
from contract.records import Status

FRAMES = 5
CLIENTS = 4
ENDINGS = {status for status in Status if status.is_terminal}


@pytest.fixture
def house(tmp_path, tiny_checkpoint):
    with ChaosHouse(tmp_path, tiny_checkpoint) as house:
        yield house


@pytest.fixture
def clip(tmp_path):
    return numbered_video(tmp_path / "in.mp4", count=30).read_bytes()


@pytest.mark.timeout(600)
def test_thirty_jobs_survive_the_death_of_every_kind_of_process(house, clip):
    _survive(house, clip, jobs=30, rounds=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_jobs_survive_seven_rounds(house, clip):
    _survive(house, clip, jobs=200, rounds=7)


def _survive(house, clip, jobs, rounds):
    with ThreadPoolExecutor(CLIENTS) as pool:
        accepted = pool.map(lambda number: _create(house.url, number, clip), range(jobs))
        # in this thread: Redis does not outlive the thread that starts it
        Monkey(house, seed=rounds).rampage(rounds)
        accepted = [*accepted]
    until(lambda: not house.jobs.live_ids(), 240 * rounds)
    for job_id in accepted:
        _check(house, job_id)
    ends = [house.jobs.get(job_id).status for job_id in accepted]
    assert ends.count(Status.COMPLETED) > 0.8 * jobs
    statuses = house.stop()
    assert statuses.pop("api") in (0, -signal.SIGTERM)  # uvicorn passes the signal on
    assert statuses == {"first": 0, "second": 0}
    until(lambda: not house.leftovers(), 10)


def _create(url, number, clip):
    """Create a job as a stubborn client does: until it is accepted, under one idempotency key."""
    kind = "captions" if number % 3 == 0 else "videos"
    steps = random.Random(number).choice([2, 8, 30])
    form = {"num_inference_steps": str(steps)}
    if kind == "videos":
        form |= {"prompt": f"a red circle, number {number}", "num_frames": str(FRAMES)}
    files = {"video": ("in.mp4", clip, "video/mp4")} if kind == "captions" else None
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            answer = httpx2.post(
                f"{url}/v1/{kind}", data=form, files=files, headers=headers, timeout=20
            )
        except httpx2.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code == 200:
            time.sleep(0.3)
            return answer.json()["id"]
        assert answer.status_code >= 500, answer.text
        time.sleep(0.2)
    pytest.fail(f"job {number} was never accepted")


def _check(house, job_id):
    record = house.jobs.get(job_id)
    assert record.status in (Status.COMPLETED, Status.FAILED)
    endings = [e.type for e in read_events(house.redis, job_id) if e.type in ENDINGS]
    assert endings == [record.status]
    kind = "videos" if record.kind == "generate" else "captions"
    seen = httpx2.get(f"{house.url}/v1/{kind}/{job_id}").json()
    assert seen["status"] == record.status
    if record.status is Status.FAILED:
        assert seen["error"]["code"] in ("worker_lost", "storage_error")
        return
    folders = {key.rpartition("/")[0] + "/" for key in record.result.artifacts.values()}
    assert len(folders) == 1
    assert folders <= {job_prefix(job_id, number + 1) for number in range(record.attempt)}
    if kind == "captions":
        assert seen["text"] is not None
        return
    video = httpx2.get(f"{house.url}/v1/videos/{job_id}/content").content
    with av.open(BytesIO(video)) as container:
        assert len([*container.decode(video=0)]) == FRAMES
