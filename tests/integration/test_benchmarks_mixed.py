"""Captions beside a video in the real engine; how long anything takes is not looked at."""

import pytest

from benchmarks import mixed
from benchmarks.mixed import Round, measure, warm_engine


def test_a_wait_is_counted_in_steps_and_a_slowing_without_what_captions_take_themselves():
    round_ = Round(step=2.0, video=20.0, captions=6.0, first=1.0, firsts=[3.0, 3.0], beside=26.0)
    assert round_.wait == pytest.approx(1.0)
    assert round_.slowing == pytest.approx(1.0)


def test_a_round_has_a_video_alone_captions_alone_and_both_together(monkeypatch):
    monkeypatch.setattr(mixed, "STEPS", 4)
    monkeypatch.setattr(mixed, "ARRIVALS", (1,))
    with warm_engine() as engine:
        found = measure(engine)
        assert len(found.firsts) == 1
        assert 0 < found.step < found.video
        assert 0 < found.first < found.captions
        assert found.beside > found.firsts[0]
        with engine.caption() as caption:
            assert len([*caption.steps()]) == mixed.CAPTION_STEPS
