"""Caption metrics on sentences short enough to be scored by hand."""

import math

import pytest

from model.evaluation.caption_metrics import cider_d, score_captions, words

REFERENCES = ["a small red cross moves left", "the large dog sleeps under trees", "rain falls"]


def test_words_are_lower_case_and_without_punctuation():
    assert words("A dog's half-open, RED door .") == ["a", "dog's", "half-open", "red", "door"]


def test_equal_captions_have_the_best_scores():
    captions = ["A small red cross moves left.", REFERENCES[1], "Some rain falls all day long"]
    references = [*REFERENCES[:2], captions[2]]
    scores = score_captions(captions, references)
    assert scores == pytest.approx({"bleu_4": 1, "rouge_l": 1, "cider": 10})


def test_captions_of_other_clips_have_the_worst():
    scores = score_captions(REFERENCES, REFERENCES[1:] + REFERENCES[:1])
    assert scores == {"bleu_4": 0, "rouge_l": 0, "cider": 0}


def test_bleu_and_rouge_are_those_of_their_definitions():
    caption, reference = "a small red cross moves up now", "a small red cross moves left"
    scores = score_captions([caption], [reference])
    precisions = [5 / 7, 4 / 6, 3 / 5, 2 / 4]  # no brevity penalty: the caption is longer
    assert scores["bleu_4"] == pytest.approx(math.prod(precisions) ** 0.25)
    assert scores["rouge_l"] == pytest.approx(2 * 5 / (7 + 6))


def test_cider_is_that_of_its_definition():
    captions, references = ["a red cat", "a green cow"], ["a red dog", "a blue cat"]
    # "a" is in every reference and weighs nothing, every other word and pair has the weight log 2
    word, pair = 1 / 2, 1 / 2  # cosines of (red, cat) with (red, dog), and of their two pairs
    assert cider_d(captions, references) == pytest.approx(10 * (word + pair + 0 + 0) / 4 / 2)


def test_cider_counts_a_length_that_differs_and_no_repetition():
    references = ["red dog", "blue cat"]
    once = cider_d(["red dog", "blue cat"], references)
    assert once == pytest.approx(10 * (1 + 1 + 0 + 0) / 4)
    repeated = cider_d(["red dog red dog", "blue cat"], references)
    word = 2 / math.sqrt(4 + 4) / math.sqrt(2)  # counts (2, 2), of which (1, 1) are worth something
    pair = 1 / math.sqrt(4 + 1)  # "red dog" twice and "dog red" once, of which one is worth so
    penalty = math.exp(-((4 - 2) ** 2) / 72)
    assert repeated == pytest.approx(10 * (penalty * (word + pair) + 1 + 1) / 4 / 2)


def test_cider_says_nothing_on_one_clip():
    assert cider_d(["a red dog"], ["a red dog"]) == 0
