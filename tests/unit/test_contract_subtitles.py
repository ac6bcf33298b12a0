"""Texts as subtitles."""

import pytest

from contract.subtitles import Cue, srt, vtt


def test_vtt_is_one_escaped_cue_for_each_text() -> None:
    expected = "WEBVTT\n\n00:00:00.000 --> 00:00:02.062\na &lt;b&gt; &amp; c d\n"
    assert vtt([Cue(0, 2.0625, "a <b> & c\n\nd")]) == expected
    later = "\n00:00:02.062 --> 00:00:03.000\ne\n"
    assert vtt([Cue(0, 2.0625, "a <b> & c d"), Cue(2.0625, 3, "e")]) == expected + later


def test_srt_is_one_numbered_cue_for_each_text() -> None:
    first = "1\n00:00:00,000 --> 01:02:05,500\na b\n"
    assert srt([Cue(0, 3725.5, " a\n\nb ")]) == first
    later = "\n2\n01:02:05,500 --> 01:02:06,000\nc\n"
    assert srt([Cue(0, 3725.5, "a b"), Cue(3725.5, 3726, "c")]) == first + later


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_has_no_cue(text: str) -> None:
    assert (srt([Cue(0, 1, text)]), vtt([Cue(0, 1, text)])) == ("", "WEBVTT\n")
    assert srt([Cue(0, 1, text), Cue(1, 2, "a")]).startswith("1\n00:00:01,000")
