"""Means, spreads and differences of repetitions."""

import pytest
from rich.console import Console

from benchmarks.ablations.tables import Comparison

FOUND = Comparison(
    "how many",
    {
        "first": [{"right": 0.5, "error": 2.0}, {"right": 0.7, "error": 4.0}],
        "other": [{"right": 0.6}, {"right": 0.9}],
    },
)


def test_a_figure_is_summed_up_over_repetitions():
    spread = FOUND.spread("first", "right")
    assert spread.mean == pytest.approx(0.6)
    assert spread.sd == pytest.approx(0.1 * 2**0.5)
    assert (spread.least, spread.most) == (0.5, 0.7)


def test_the_difference_is_taken_repetition_by_repetition():
    difference = FOUND.difference("other", "right")
    assert difference.mean == pytest.approx(0.15)
    assert difference.sd == pytest.approx(0.05 * 2**0.5)


def test_what_a_variant_does_not_have_is_left_open():
    assert FOUND.spread("other", "error") is None
    assert FOUND.as_json()["other"]["error"] is None


def test_one_repetition_has_no_deviation():
    alone = Comparison("once", {"first": [{"right": 0.5}]})
    assert alone.spread("first", "right").sd is None
    assert str(alone.spread("first", "right")) == "0.5"


def test_the_table_shows_mean_deviation_and_difference():
    console = Console(record=True, width=120)
    console.print(FOUND.table())
    printed = console.export_text()
    assert all(text in printed for text in ("how many", "0.6 ±0.14", "0.75 ±0.21", "0.15 ±0.071"))
