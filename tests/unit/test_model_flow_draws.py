"""Draws of ids against the distribution function that they invert, at its edges and between."""

import pytest
import torch
from tiny_models import seeded

from model.flow import draw_ids, text_step

LAST = 1 - 2**-53  # the greatest uniform there is
NEVER = -torch.inf
WORDS = 256_384  # Wan's vocabulary


def at(*uniforms):
    return torch.tensor(uniforms, dtype=torch.float64)


def drawn(logits, uniforms):
    row = torch.as_tensor(logits)
    return draw_ids(row.expand(len(uniforms), -1), uniforms).tolist()


def test_equal_logits_share_the_uniforms_in_equal_parts():
    uniforms = (torch.arange(WORDS, dtype=torch.float64) + 0.5) / WORDS
    some = torch.arange(0, WORDS, 50_021)
    assert drawn(torch.zeros(WORDS), uniforms[some]) == some.tolist()


@pytest.mark.parametrize("size", [1, 3, 128, 300])
def test_every_id_begins_where_the_ids_before_it_end(size):
    # powers of two: every sum is exact
    exponents = torch.arange(size) % 5
    weights = 2.0**exponents
    ends = (weights.double().cumsum(0) / weights.double().sum()).tolist()
    logits = weights.log()
    starts = at(0.0, *ends[:-1])
    assert drawn(logits, starts + 1e-6) == list(range(size))
    assert drawn(logits, at(*ends) - 1e-6) == list(range(size))


@pytest.mark.parametrize("size", [5, 128, 1000])
def test_the_edges_are_the_first_and_the_last_id_that_can_be(size):
    assert drawn(torch.zeros(size), at(0.0, LAST)) == [0, size - 1]
    hidden = torch.zeros(size)
    hidden[[0, -1]] = NEVER
    assert drawn(hidden, at(0.0, LAST)) == [1, size - 2]


def test_ids_of_no_probability_are_never_drawn():
    logits = torch.randn(20_000, generator=seeded())
    possible = torch.rand(len(logits), generator=seeded(1)) < 0.01
    logits[~possible] = NEVER
    logits[128:256] = NEVER  # a whole chunk
    logits[256], possible[128:256] = -200.0, False  # vanishes in float32
    possible[256] = False
    uniforms = torch.cat((at(0.0, LAST), torch.rand(100, dtype=torch.float64, generator=seeded(2))))
    assert possible[drawn(logits, uniforms)].all()


def test_the_only_possible_id_is_drawn_at_every_uniform():
    logits = torch.full((1000,), NEVER)
    logits[700] = -1e30
    assert drawn(logits, at(0.0, 0.5, LAST)) == [700] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_draws_invert_the_distribution_function_of_a_whole_vocabulary(dtype):
    logits = (3 * torch.randn(WORDS, generator=seeded())).to(dtype)
    uniforms = torch.rand(20, dtype=torch.float64, generator=seeded(1))
    ids = drawn(logits, uniforms)
    sums = logits.double().softmax(0).cumsum(0)
    before = torch.cat((at(0.0), sums))[ids]
    # float32 weights, a rounding of each beside a running sum in float64
    assert (before - 1e-7 <= uniforms).all()
    assert (uniforms <= sums[ids] + 1e-7).all()


def test_a_vocabulary_of_equal_words_is_drawn_evenly():
    # chi-square over 16 groups of words: 15 degrees of freedom exceed 44.3 once in 10,000 seeds
    count, size = 800, 2**12
    logits = torch.full((1, 1, size), -30.0).expand(1, count, size)
    ids = torch.zeros(1, count, dtype=torch.int64)
    groups = text_step(ids, logits, 1.0, 1e-12, seeded())[0] // (size // 16)
    observed = torch.bincount(groups, minlength=16)
    assert ((observed - count / 16).square() / (count / 16)).sum() < 44.3


def test_a_row_that_is_no_number_draws_some_id_and_spoils_no_other():
    logits = torch.zeros(2, 300)
    logits[0, 17] = torch.nan
    broken, whole = draw_ids(logits, at(0.5, 0.5)).tolist()
    assert 0 <= broken < 300
    assert whole == 150


def test_logits_are_not_written_into():
    logits = torch.randn(4, 128, generator=seeded())
    before = logits.clone()
    draw_ids(logits, at(0.1, 0.2, 0.3, 0.4))
    assert torch.equal(logits, before)


def test_where_nothing_moves_nothing_is_drawn():
    ids = torch.arange(6).view(1, 6)
    assert torch.equal(text_step(ids, torch.zeros(1, 6, 300), 1.0, 1 - 1e-12, seeded()), ids)
