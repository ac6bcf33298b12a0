"""How outcomes become shares, means and confusions."""

import numpy as np

from model.evaluation.outcomes import (
    UNREADABLE,
    Answer,
    Measure,
    Shot,
    confusions,
    mean_figures,
    shares_right,
)

RED = {"color": "red", "shape": "cross"}
ANSWERS = [
    Answer("understand", "seen", RED, RED),
    Answer("understand", "seen", RED, {"color": "red", "shape": "circle"}),
    Answer("understand", "held_out", RED, {}),
    Answer("instruct", "seen", {"color": "red"}, {"color": "red"}),
]


def test_shares_are_per_score_side_and_attribute():
    assert shares_right(ANSWERS) == {
        "understand": {
            "seen": {"all": 0.5, "color": 1.0, "shape": 0.5},
            "held_out": {"all": 0.0, "color": 0.0, "shape": 0.0},
        },
        "instruct": {"seen": {"all": 1.0, "color": 1.0}},
    }


def test_confusions_count_what_was_found_instead():
    assert confusions(ANSWERS)["understand"] == {
        "color": {"red": {"red": 2, UNREADABLE: 1}},
        "shape": {"cross": {"circle": 1, "cross": 1, UNREADABLE: 1}},
    }


def test_a_figure_is_averaged_over_the_clips_that_have_it():
    measures = [
        Measure("generate", "seen", {"edge_width": 1.0, "area_flicker": 0.1}),
        Measure("generate", "seen", {"edge_width": 2.0}),
        Measure("tokens", "held_out", {"sigma 1.0": 0.5}),
    ]
    assert mean_figures(measures) == {
        "generate": {"seen": {"edge_width": 1.5, "area_flicker": 0.1}},
        "tokens": {"held_out": {"sigma 1.0": 0.5}},
    }


def test_a_shot_keeps_the_first_frame_the_last_and_some_between():
    frames = np.arange(17, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert Shot.of("x", frames).stills[:, 0, 0, 0].tolist() == [0, 4, 8, 12, 16]
    assert len(Shot.of("x", frames[:2]).stills) == 2


def test_the_stills_of_a_large_clip_are_reduced():
    assert Shot.of("x", np.zeros((9, 480, 832, 3), np.uint8)).stills.shape == (5, 185, 320, 3)
