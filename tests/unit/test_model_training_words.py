"""What the world says against its description: prompts, captions, questions and answers."""

import itertools

import pytest
from tiny_models import tiny_tokenizer

from model.presets import PRESETS
from model.training.moving_shapes import (
    BACKGROUNDS,
    COLORS,
    MOTIONS,
    NUM_PROMPT_FORMS,
    QUESTIONS,
    SHAPES,
    SIZES,
    Scene,
)

ALL = list(itertools.product(COLORS, SHAPES, MOTIONS))
MIDDLE = ((0.5, 0.5), (0.5, 0.5))


def scene(color="red", shape="circle", motion="left", background="white", size="small"):
    return Scene(color, shape, motion, background, size, MIDDLE)


@pytest.mark.parametrize(
    ("motion", "prompt"),
    [
        ("left", "a red circle moving left"),
        ("down", "a red circle moving down"),
        ("still", "a red circle standing still"),
        ("growing", "a red circle growing"),
        ("shrinking", "a red circle shrinking"),
    ],
)
def test_canonical_prompts_have_the_wording_of_the_description(motion, prompt):
    assert scene(motion=motion).prompt() == prompt


@pytest.mark.parametrize(
    "paraphrase", ["red circle, moving to the left", "a circle that is red moves left"]
)
def test_paraphrases_of_the_description_are_among_the_forms(paraphrase):
    tokenizer = tiny_tokenizer()
    forms = [tokenizer(scene().prompt(form)).input_ids for form in range(NUM_PROMPT_FORMS)]
    assert tokenizer(paraphrase).input_ids in forms


def test_every_prompt_has_four_paraphrases_and_names_one_combination():
    assert NUM_PROMPT_FORMS >= 5
    prompts = [
        scene(*combination).prompt(form) for combination in ALL for form in range(NUM_PROMPT_FORMS)
    ]
    assert len(set(prompts)) == len(ALL) * NUM_PROMPT_FORMS


@pytest.mark.parametrize(
    ("motion", "size", "background", "caption"),
    [
        ("left", "small", "white", "small * moves from right to left across a plain white"),
        ("right", "large", "gray", "large * moves from left to right across a plain gray"),
        ("up", "small", "black", "small * rises from bottom to top across a plain black"),
        ("down", "small", "white", "small * falls from top to bottom across a plain white"),
        ("still", "large", "white", "large * stays still on a plain white"),
        ("growing", "small", "gray", "small * grows over time on a plain gray"),
        ("shrinking", "small", "white", "small * shrinks over time on a plain white"),
    ],
)
def test_captions_have_the_wording_of_the_description(motion, size, background, caption):
    expected = f"a {caption} background .".replace("*", "red circle")
    assert scene(motion=motion, size=size, background=background).caption() == expected


def test_questions_have_the_wording_of_the_description_and_short_answers():
    asked = scene(motion="growing", background="gray", size="large")
    answers = {question: asked.answer(name) for name, question in QUESTIONS.items()}
    assert answers == {
        "what color is the shape ?": "red",
        "what shape is it ?": "circle",
        "how does it move ?": "growing",
        "what is the background ?": "gray",
        "is it small or large ?": "large",
    }


def test_open_prompts_name_what_they_keep_and_nothing_else():
    assert scene().open_prompt([]) == "a shape"
    assert scene().open_prompt(["color"]) == "a red shape"
    assert scene().open_prompt(["shape", "motion"]) == "a circle moving left"
    assert scene().open_prompt(["color", "shape", "motion"]) == scene().prompt()


def all_texts():
    for combination in ALL:
        one = scene(*combination)
        yield from (one.prompt(form) for form in range(NUM_PROMPT_FORMS))
        for kept in itertools.product((True, False), repeat=3):
            names = itertools.compress(("color", "shape", "motion"), kept)
            yield one.open_prompt(list(names))
        for size, background in itertools.product(SIZES, BACKGROUNDS):
            yield scene(*combination, background=background, size=size).caption()
        yield from (one.answer(name) for name in QUESTIONS)
    yield from (*SIZES, *BACKGROUNDS, *QUESTIONS.values())


def test_every_text_is_made_of_known_words_and_fits_both_lengths():
    tokenizer = tiny_tokenizer()
    limit = min(PRESETS["demo"]["caption_length"], PRESETS["demo"]["condition_length"])
    for text in sorted(set(all_texts())):
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids, text
        assert len(ids) <= limit, text
        assert tokenizer.decode(ids[:-1]) == text
