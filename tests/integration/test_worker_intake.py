"""Input videos on their way through a whole worker, with a stand-in for the model."""

import io
import zipfile

import numpy as np
import pytest
from hostile_servers import hostile_server, redirect, whole
from video_files import numbered_video
from worker_house import House

from contract.records import Status
from worker.video_io import thumbnail_jpeg

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def house(redis_server, tmp_path_factory):
    url = redis_server.url.removesuffix("/0") + "/10"
    slots = {"generate_slots": 0, "understand_slots": 1}
    house = House(url, tmp_path_factory.mktemp("w"), **slots, allow_private_urls=True)
    house.start()
    yield house
    house.close()


@pytest.fixture(scope="module")
def small_video(tmp_path_factory):
    return numbered_video(tmp_path_factory.mktemp("v") / "in.mp4", count=30).read_bytes()


def test_understand_job_gets_the_clip_at_the_size_of_the_checkpoint(house, small_video):
    house.artifacts.put("uploads/u/source", small_video, "video/mp4")
    record = house.completed(house.understand("uploads/u/source"))
    assert record.result.text.startswith("uint8 (5, 32, 48, 3), mean ")
    assert record.result.stage_durations["read"] > 0
    assert record.result.input_seconds == pytest.approx(1.0)


def test_video_is_cut_into_segments_with_a_text_and_a_time_each(house, small_video):
    house.artifacts.put("uploads/s/source", small_video, "video/mp4")
    job_id = house.understand("uploads/s/source", segment_seconds=0.4)
    result = house.completed(job_id).result
    spans = [(segment.start, segment.end) for segment in result.segments]
    assert spans == [(0, 0.4), (0.4, 0.8), (0.8, pytest.approx(1.0))]
    texts = [segment.text for segment in result.segments]
    assert len(set(texts)) == 3
    assert result.text == "\n".join(texts)
    assert result.input_seconds == pytest.approx(1.0)


def test_video_that_would_be_too_many_segments_is_refused(house, small_video):
    house.artifacts.put("uploads/s/source", small_video, "video/mp4")
    error = house.ended(house.understand("uploads/s/source", segment_seconds=0.005)).error
    assert error.code == "too_many_segments"
    assert "segment_seconds must be at least" in error.message


def test_single_pictures_are_a_clip_without_a_duration(house):
    picture = thumbnail_jpeg(np.full((64, 96, 3), 200, np.uint8))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("0", "1"):
            archive.writestr(name, picture)
    house.artifacts.put("uploads/p/source", file.getvalue(), "application/zip")
    result = house.completed(house.understand("uploads/p/source")).result
    assert result.text == "uint8 (5, 32, 48, 3), mean 200"
    assert result.input_seconds is None
    assert "repeated 3 times" in result.notes[0]


def test_video_behind_a_url_is_fetched_by_the_slot(house, small_video):
    answers = {
        "/a.mp4": redirect("/b.mp4"),
        "/b.mp4": whole(small_video, "Content-Type: video/mp4"),
        "/page": whole(b"<html>", "Content-Type: text/html"),
    }
    with hostile_server(answers) as server:
        record = house.completed(house.understand(f"{server.url}/a.mp4"))
        assert record.result.input_seconds == pytest.approx(1.0)
        error = house.ended(house.understand(f"{server.url}/page")).error
    assert (error.code, error.param) == ("unsupported_media_type", "video_url")


def test_url_whose_server_fails_for_a_moment_is_tried_again(house, small_video):
    good = whole(small_video, "Content-Type: video/mp4")
    bad = [whole(b"", status="503 Service Unavailable"), lambda connection: connection.close()]
    with hostile_server(
        {"/a.mp4": lambda connection: (bad.pop() if bad else good)(connection)}
    ) as server:
        record = house.completed(house.understand(f"{server.url}/a.mp4"))
        assert len(server.hits) == 3
    assert record.attempt == 3


@pytest.mark.parametrize(("status", "tries"), [("503 Service Unavailable", 3), ("404 No", 1)])
def test_url_is_tried_three_times_and_refusals_once(house, status, tries):
    with hostile_server({"/a.mp4": whole(b"", status=status)}) as server:
        record = house.ended(house.understand(f"{server.url}/a.mp4"))
        assert len(server.hits) == tries
    assert record.status is Status.FAILED
    assert (record.error.code, record.error.param) == ("fetch_failed", "video_url")
    assert record.attempt == tries


def test_understand_job_of_a_file_that_is_no_video_fails_with_the_code_of_the_reader(house):
    house.artifacts.put("uploads/bad/source", b"this is no video" * 100, "video/mp4")
    job_id = house.understand("uploads/bad/source")
    record = house.ended(job_id)
    assert record.status is Status.FAILED
    assert (record.error.code, record.error.param) == ("invalid_video", "video")
    assert record.attempt == 1


def test_understand_job_whose_source_is_gone_says_so(house):
    record = house.ended(house.understand("uploads/gone/source"))
    assert record.error.code == "storage_error"
    assert "no longer in the artifact store" in record.error.message
