"""Subtitle text and still images."""

import io

import numpy as np
import pytest
from PIL import Image

from worker.video_io import srt, thumbnail_jpeg, vtt


def test_vtt_is_one_escaped_cue_over_the_whole_video() -> None:
    expected = "WEBVTT\n\n00:00:00.000 --> 00:00:02.062\na &lt;b&gt; &amp; c d\n"
    assert vtt("a <b> & c\n\nd", 2.0625) == expected


def test_srt_is_one_cue_over_the_whole_video() -> None:
    assert srt(" a\n\nb ", 3725.5) == "1\n00:00:00,000 --> 01:02:05,500\na b\n"


@pytest.mark.parametrize("caption", ["", " \n"])
def test_an_empty_caption_has_no_cue(caption: str) -> None:
    assert (srt(caption, 1.0), vtt(caption, 1.0)) == ("", "WEBVTT\n")


def test_a_thumbnail_shows_the_frame() -> None:
    frame = np.full((48, 64, 3), (200, 60, 30), np.uint8)
    image = Image.open(io.BytesIO(thumbnail_jpeg(frame)))
    assert (image.format, image.size) == ("JPEG", (64, 48))
    assert np.abs(np.asarray(image).astype(int) - frame).max() <= 4
