"""What an attempt tells the engine and hears from it, with a stand-in for the model."""

import io

import pytest
from PIL import Image
from worker_house import House

from contract.artifacts import preview_key
from contract.events import read_events
from contract.records import new_job_id
from worker.retention import Retention
from worker.tickets import enqueue

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def house(redis_server, tmp_path_factory):
    house = House(
        redis_server.url.removesuffix("/0") + "/7",
        tmp_path_factory.mktemp("p"),
        generate_slots=1,
        understand_slots=0,
    )
    house.start()
    yield house
    house.close()


def previews(house, job_id):
    return [event.data for event in read_events(house.redis, job_id) if event.type == "preview"]


def test_asked_interval_gives_a_preview_at_each_of_its_steps(house):
    job_id = house.generate("a red ball moves", steps=5, preview_interval=2)
    house.completed(job_id)
    assert previews(house, job_id) == [
        {"step": 2, "of": 5, "caption": "a red", "frame": preview_key(job_id, 1, 2)},
        {"step": 4, "of": 5, "caption": "a red ball moves", "frame": preview_key(job_id, 1, 4)},
    ]


def test_frame_of_a_preview_is_a_picture_in_the_artifact_store(house):
    job_id = house.generate(steps=1, preview_interval=1)
    house.completed(job_id)
    (preview,) = previews(house, job_id)
    picture = Image.open(io.BytesIO(house.artifacts.get(preview["frame"])))
    assert (picture.format, picture.size) == ("JPEG", (48, 32))


def test_job_that_asks_for_none_has_none(house):
    job_id = house.generate(steps=3)
    house.completed(job_id)
    assert previews(house, job_id) == []


def test_preview_is_no_artifact_of_the_result(house):
    job_id = house.generate(steps=1, preview_interval=1)
    assert not any("preview" in key for key in house.completed(job_id).result.artifacts.values())


def test_previews_go_with_their_job(house):
    job_id = house.generate(steps=2, preview_interval=1)
    ended = house.completed(job_id)
    Retention(house.jobs, house.artifacts, days=1).sweep(ended.completed_at + 2 * 86_400)
    assert house.artifacts.list(f"jobs/{job_id}/") == []


def test_preview_that_the_store_does_not_take_costs_its_picture_alone(house):
    job_id = house.generate(steps=6, preview_interval=1)
    house.running(job_id)
    # a folder where the file belongs: the store cannot put it there
    blocker = preview_key(job_id, 1, 6)
    house.artifacts.put(f"{blocker}/taken", b"", "text/plain")
    house.completed(job_id)
    assert previews(house, job_id)[-1]["frame"] is None


def test_engine_learns_whose_job_it_is(house):
    request = house.request("whose")
    job_id = new_job_id(request.kind)
    with house.redis.pipeline() as pipeline:
        house.jobs.create(job_id, request, pipeline, account="team")
        pipeline.execute()
    enqueue(house.queues[request.kind], job_id)
    assert house.completed(job_id).result.text == "team"
