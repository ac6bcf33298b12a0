"""How two sides are timed in turn, and what a limit means."""

import math

import pytest

from benchmarks.paired import Row, interleave, timed


def clock(name, seconds, order):
    """Return a side that takes these seconds, one after the other."""
    left = iter(seconds)

    def run():
        order.append(name)
        return next(left)

    return run


def test_each_side_goes_first_in_every_other_pair():
    order = []
    interleave(clock("over", [1] * 4, order), clock("under", [1] * 4, order), pairs=4)
    assert order == ["over", "under", "under", "over"] * 2


def test_the_ratio_is_taken_pair_by_pair():
    order = []
    pairs = interleave(clock("over", [2, 20, 9], order), clock("under", [1, 10, 1], order), 3)
    assert (pairs.over, pairs.under) == ([2, 20, 9], [1, 10, 1])
    assert pairs.ratio == 2
    assert pairs.describe("full", "cached") == "full 9.00 s, cached 1.00 s, 3 pairs"


def test_a_timed_call_happens_once_per_measurement():
    calls = []
    run = timed(lambda: calls.append(1))
    assert run() >= 0
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("ratio", "sense", "ok"),
    [
        (1.0, "min", True),
        (0.99, "min", False),
        (1.0, "max", True),
        (1.01, "max", False),
        (math.nan, "min", False),
        (math.nan, "max", False),
    ],
)
def test_a_limit_is_kept_on_its_own_side(ratio, sense, ok):
    assert Row("it", ratio, limit=1.0, sense=sense, detail="").ok is ok
