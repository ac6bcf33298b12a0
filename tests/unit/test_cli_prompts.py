"""Prompts files are read strictly; seeds count up and file names are plain and never shared."""

import pytest

from cli.items import BadOption
from cli.prompts import PromptLine, number_prompts, read_prompts
from contract.requests import MAX_SEED


def lines(*prompts):
    return [PromptLine(prompt=prompt) for prompt in prompts]


def test_the_ith_prompt_has_the_ith_seed_unless_it_names_its_own():
    given = [*lines("a"), PromptLine(prompt="b", seed=0), *lines("c")]
    assert [prompt.seed for prompt in number_prompts(given, 7)] == [7, 0, 9]


def test_names_come_from_the_prompt_and_the_seed_or_are_the_id():
    given = [*lines("A red circle, moving!"), PromptLine(prompt="b", id="clip.7"), *lines("円")]
    names = [prompt.name for prompt in number_prompts(given, 0)]
    assert names == ["a-red-circle-moving-seed0", "clip.7", "video-seed2"]


def test_no_two_prompts_share_a_name():
    given = [PromptLine(prompt="x" * 60 + str(number), seed=1) for number in range(3)]
    names = [prompt.name for prompt in number_prompts(given, 0)]
    assert len({*names}) == 3


def test_one_id_for_two_prompts_is_refused():
    given = [PromptLine(prompt="a", id="one"), PromptLine(prompt="b", id="one")]
    with pytest.raises(BadOption, match="id 'one' is given to two prompts"):
        number_prompts(given, 0)


def test_a_seed_that_counts_past_the_largest_is_refused():
    assert number_prompts(lines("a"), MAX_SEED)[0].seed == MAX_SEED
    with pytest.raises(BadOption, match=f"of prompt 2: at most {MAX_SEED}"):
        number_prompts(lines("a", "b"), MAX_SEED)


def test_a_file_gives_its_lines_in_order(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a"}\n\n{"prompt": "b", "seed": 3, "id": "two"}\n')
    assert read_prompts(path) == [
        PromptLine(prompt="a"),
        PromptLine(prompt="b", seed=3, id="two"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a red circle", "line 2: Invalid JSON"),
        ('{"seed": 1}', "line 2: prompt: Field required"),
        ('{"prompt": "a", "sead": 1}', "line 2: sead: Extra inputs are not permitted"),
        ('{"prompt": "a", "seed": -1}', "line 2: seed: Input should be greater than or equal"),
        ('{"prompt": "a", "seed": "1"}', "line 2: seed: Input should be a valid integer"),
        ('{"prompt": "a", "id": "../a"}', "line 2: id: String should match pattern"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, line, words):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "fine"}\n' + line)
    with pytest.raises(BadOption, match=words):
        read_prompts(path)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text("\n")
    with pytest.raises(BadOption, match="there is no prompt in it"):
        read_prompts(path)
