"""Several items at a time, and an end in good order."""

import threading
import time

import pytest

from cli.crew import Crew, Stopped


def test_one_alone_works_in_the_callers_thread_and_only_when_asked():
    done = []
    results = Crew(1).results([1, 2, 3], lambda item: done.append(item) or threading.get_ident())
    assert next(results) == threading.get_ident()
    assert done == [1]


def test_several_work_at_the_same_time_and_keep_their_order():
    together = threading.Barrier(3, timeout=20)

    def work(item):
        together.wait()
        return item

    assert list(Crew(3).results(range(9), work)) == [*range(9)]


def test_items_are_not_begun_long_before_they_are_needed():
    begun = []
    results = Crew(2).results(range(100), lambda item: begun.append(item))
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 5
    results.close()


def test_an_interrupt_reaches_the_work_and_the_rest_is_never_begun():
    crew, begun, stopped = Crew(2), [], []

    def work(item):
        begun.append(item)
        if item == 0:
            raise KeyboardInterrupt
        try:
            while True:
                crew.check()
                time.sleep(0.01)
        except Stopped:
            stopped.append(item)
            raise

    with pytest.raises(KeyboardInterrupt):
        list(crew.results(range(50), work))
    assert {*stopped} == {*begun} - {0}
    assert len(begun) <= 5
