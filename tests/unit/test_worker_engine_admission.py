"""Jobs that wait for memory, are refused, or find that there was less than was thought."""

from types import SimpleNamespace

import pytest
from engine_thread import Engine, replies, until

from model.memory import Need
from worker.engine.admission import Admission
from worker.protocol import MAX_MESSAGE


class Job:
    """As much of a running job as admission looks at; `held` and `step` are its need."""

    def __init__(self, held, step=0, kind="generate"):
        self.start = SimpleNamespace(need=Need(held, step))
        self.kind, self.is_let_in, self.overtaken, self.final = kind, False, 0, None


def admission(budget, release=lambda: True):
    return Admission(budget, lambda start: start.need, release)


def let_in(budget, *jobs):
    """Return which jobs may begin."""
    admission(budget).let_in(jobs)
    return [job.is_let_in for job in jobs]


def test_job_that_fits_begins():
    assert let_in(10, Job(6, 4)) == [True]


def test_what_jobs_hold_adds_up_and_their_steps_do_not():
    assert let_in(10, Job(3, 4), Job(3, 4)) == [True, True]
    assert let_in(9, Job(3, 4), Job(3, 4)) == [True, False]


def test_waiting_job_begins_when_another_has_ended():
    gate, first, second = admission(10), Job(6), Job(6)
    gate.let_in([first, second])
    assert not second.is_let_in
    gate.let_in([second])
    assert second.is_let_in


def test_job_that_would_never_fit_is_refused_with_need_and_limit():
    job = Job(3 << 20, 4 << 20)
    assert let_in(5 << 20, job) == [False]
    assert job.final.code == "out_of_memory"
    assert "needs about 7 MB; the engine has 5 MB" in job.final.message


def test_jobs_of_a_kind_begin_in_the_order_of_their_arrival():
    assert let_in(10, Job(6), Job(6), Job(1)) == [True, False, False]


def test_caption_overtakes_a_video_that_waits():
    assert let_in(10, Job(6), Job(6), Job(1, kind="understand")) == [True, False, True]


def test_video_that_waits_is_not_overtaken_for_ever():
    gate, running, video = admission(10), Job(6), Job(6)
    gate.let_in([running, video])
    passed = 0
    for _ in range(100):
        caption = Job(1, kind="understand")
        gate.let_in([running, video, caption])
        passed += caption.is_let_in
    assert 0 < passed < 100
    gate.let_in([video])
    assert video.is_let_in


def test_shape_that_ran_out_of_memory_alone_is_not_tried_again():
    gate, job, again, smaller = admission(10), Job(4, 4), Job(4, 4), Job(4, 3)
    gate.let_in([job])
    gate.exhausted([job])
    gate.let_in([again, smaller])
    assert again.final.code == "out_of_memory"
    assert smaller.is_let_in


def test_jobs_that_were_too_much_together_run_one_after_the_other():
    gate, jobs = admission(10), [Job(4), Job(4)]
    gate.let_in(jobs)
    gate.exhausted(jobs)
    again = [Job(4), Job(4)]
    gate.let_in(again)
    assert [job.is_let_in for job in again] == [True, False]


@pytest.mark.parametrize("is_clean", [True, False])
def test_engine_restarts_only_where_memory_stays_lost(is_clean):
    gate, job = admission(10, lambda: is_clean), Job(4)
    assert not gate.must_restart([])
    gate.let_in([job])
    gate.exhausted([job])
    assert not gate.must_restart([job])  # not while others run
    assert gate.must_restart([]) is not is_clean
    assert not gate.must_restart([])


def narrow(release=lambda: True):
    """Return an admission for one video at a time."""
    return Admission(10, lambda _: Need(6, 2), release)


def test_job_waits_until_there_is_memory_for_it(tmp_path):
    engine = Engine(tmp_path, narrow())
    first = engine.submit("first", "slow", steps=20)
    first.recv(MAX_MESSAGE)
    second = engine.submit("second")
    assert replies(first)[-1].text == "first"
    assert replies(second)[-1].text == "second"
    engine.close()
    order = engine.runner.order
    assert order == ["first"] * 20 + ["second"] * 3


def test_waiting_job_can_be_cancelled(tmp_path):
    engine = Engine(tmp_path, narrow())
    first = engine.submit("first", "slow", steps=100_000)
    first.recv(MAX_MESSAGE)
    engine.submit("second").close()
    turns = engine.beats
    until(lambda: engine.beats > turns + 5)  # to accept, to hear, to see it leave
    first.close()
    assert replies(engine.submit("third"))[-1].text == "third"
    engine.close()
    assert "second" not in engine.runner.order


def test_out_of_memory_fails_one_job_and_its_like_are_refused_unstarted(tmp_path):
    engine = Engine(tmp_path, narrow())
    assert replies(engine.submit("large", "burst"))[-1].code == "out_of_memory"
    assert "needs about" in replies(engine.submit("again"))[-1].message
    engine.close()
    assert engine.runner.order == ["large"]


def test_engine_that_does_not_get_its_memory_back_leaves(tmp_path):
    engine = Engine(tmp_path, narrow(lambda: False))
    replies(engine.submit("large", "burst"))
    until(lambda: not engine.is_alive())
    engine.close()
