"""What the client makes of the objects of the API."""

import pytest

from univigu_client import Source
from univigu_client.answers import read_job

CAPTION = {"id": "caption_x", "status": "queued", "progress": 0, "text": None, "error": None}
NAMED = {"filename": "a.mp4", "video_url": None, "file_id": "file-1", "video_id": None}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (NAMED, Source("a.mp4", None, "file-1", None)),
        (NAMED | {"of_tomorrow": 1}, Source("a.mp4", None, "file-1", None)),
        (None, None),
    ],
)
def test_a_caption_says_which_video_it_is_of(source, found):
    assert read_job("captions", CAPTION | {"source": source}).source == found


def test_a_server_that_names_no_source_is_understood():
    assert read_job("captions", CAPTION).source is None
