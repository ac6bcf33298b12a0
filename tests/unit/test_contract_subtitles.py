"""A caption as subtitle text."""

import pytest

from contract.subtitles import srt, vtt


def test_vtt_is_one_escaped_cue_over_the_whole_video() -> None:
    expected = "WEBVTT\n\n00:00:00.000 --> 00:00:02.062\na &lt;b&gt; &amp; c d\n"
    assert vtt("a <b> & c\n\nd", 2.0625) == expected


def test_srt_is_one_cue_over_the_whole_video() -> None:
    assert srt(" a\n\nb ", 3725.5) == "1\n00:00:00,000 --> 01:02:05,500\na b\n"


@pytest.mark.parametrize("caption", ["", " \n"])
def test_an_empty_caption_has_no_cue(caption: str) -> None:
    assert (srt(caption, 1.0), vtt(caption, 1.0)) == ("", "WEBVTT\n")
