"""The two flows against their closed forms; tolerances are 5 standard errors of the count."""

import itertools
import math

import pytest
import torch
from tiny_models import seeded

from model.flow import (
    corrupt_text,
    corrupt_video,
    euler_step,
    jump_probability,
    predicted_clean,
    source_ids,
    text_step,
)
from model.schedule import sigma_grid

COUNT, VOCAB = 50_000, 8


def assert_share(hits, probability):
    """Assert that a share of true entries is binomial with `probability`."""
    error = math.sqrt(probability * (1 - probability) / hits.numel())
    assert abs(hits.float().mean().item() - probability) <= 5 * error


def uniform_ids(generator):
    return torch.randint(VOCAB, (1, COUNT), generator=generator)


def oracle_logits(clean):
    return torch.nn.functional.one_hot(clean, VOCAB).float() * 200 - 100


def clean_share(sigma):
    """Return how often a token on the path equals the clean one: noise may hit it by chance."""
    return 1 - sigma * (1 - 1 / VOCAB)


def test_video_path_starts_at_noise_and_ends_at_data():
    clean, noise = torch.randn(2, 3, 4, 2, 3, 3, generator=seeded())
    at_ends = corrupt_video(clean, noise, torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(at_ends[0], clean[0])
    assert torch.equal(at_ends[1], noise[1])


def test_video_path_moves_at_noise_minus_clean():
    clean, noise = torch.randn(2, 1, 4, 2, 3, 3, generator=seeded())
    here, there = (corrupt_video(clean, noise, torch.tensor([s])) for s in (0.75, 0.25))
    torch.testing.assert_close((here - there) / 0.5, noise - clean)


def test_euler_step_along_the_true_velocity_stays_on_the_path():
    clean, noise = torch.randn(2, 1, 4, 2, 3, 3, generator=seeded())
    here, there = (corrupt_video(clean, noise, torch.tensor([s])) for s in (0.9, 0.4))
    torch.testing.assert_close(euler_step(here, noise - clean, 0.9, 0.4), there)


def test_constant_velocity_integrates_exactly():
    # whole numbers over sixteenths: every sum is exact in float32, so that equality is fair
    start = torch.arange(-8.0, 8.0).view(1, 1, 1, 4, 4)
    velocity = 3 - 2 * start
    latents, grid = start, sigma_grid(16, 1.0)
    for here, there in itertools.pairwise(grid):
        latents = euler_step(latents, velocity, here, there)
    assert torch.equal(latents, start - velocity)


def test_constant_velocity_integrates_to_the_same_end_on_any_grid():
    start, velocity = torch.randn(2, 1, 4, 2, 3, 3, generator=seeded())
    latents, grid = start, sigma_grid(37, 5.0)
    for here, there in itertools.pairwise(grid):
        latents = euler_step(latents, velocity, here, there)
    torch.testing.assert_close(latents, start - velocity)


def test_predicted_clean_is_the_end_of_the_straight_path():
    clean, noise = torch.randn(2, 1, 4, 2, 3, 3, generator=seeded())
    noisy = corrupt_video(clean, noise, torch.tensor([0.6]))
    torch.testing.assert_close(predicted_clean(noisy, noise - clean, 0.6), clean)


def test_uniform_source_draws_every_id_alike():
    ids = source_ids((COUNT,), VOCAB, "discrete_uniform", seeded())
    assert ids.dtype == torch.int64
    assert (ids.min(), ids.max()) == (0, VOCAB - 1)
    for token in range(VOCAB):
        assert_share(ids == token, 1 / VOCAB)


def test_mask_source_is_the_mask_id_everywhere():
    ids = source_ids((2, 5), VOCAB, "discrete_mask")
    assert ids.dtype == torch.int64
    assert torch.equal(ids, torch.full((2, 5), VOCAB))


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_share_of_clean_tokens_on_the_path(sigma):
    generator = seeded()
    clean, source = uniform_ids(generator), uniform_ids(generator)
    uniforms = torch.rand(clean.shape, generator=generator)
    noisy = corrupt_text(clean, source, torch.tensor([sigma]), uniforms)
    assert_share(noisy == clean, clean_share(sigma))


def test_each_row_is_corrupted_at_its_own_level():
    clean, source = torch.zeros(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64)
    noisy = corrupt_text(clean, source, torch.tensor([0.0, 1.0]), torch.full((2, 5), 0.5))
    assert noisy.tolist() == [[0] * 5, [1] * 5]


@pytest.mark.parametrize(("sigma", "sigma_next"), [(1.0, 0.9), (0.9, 0.3), (0.2, 0.19)])
def test_step_replaces_with_the_exact_probability(sigma, sigma_next):
    assert jump_probability(sigma, sigma_next) == 1 - sigma_next / sigma
    ids = torch.zeros(1, COUNT, dtype=torch.int64)
    always_one = oracle_logits(torch.ones_like(ids))
    moved = text_step(ids, always_one, sigma, sigma_next, seeded()) == 1
    assert_share(moved, 1 - sigma_next / sigma)


@pytest.mark.parametrize("shift", [0.4, 1.0, 3.0])
def test_stepping_keeps_the_caption_on_the_path_whatever_the_grid(shift):
    # the released rate, i / (N - 1) at step i, ignores the grid and leaves the path at once
    generator = seeded()
    clean, ids = uniform_ids(generator), uniform_ids(generator)
    grid = sigma_grid(12, shift)
    for here, there in itertools.pairwise(grid):
        ids = text_step(ids, oracle_logits(clean), here, there, generator)
        assert_share(ids == clean, clean_share(there))


def test_last_step_takes_the_most_likely_id_everywhere():
    logits = torch.randn(2, 50, VOCAB, generator=seeded())
    ids = torch.zeros(2, 50, dtype=torch.int64)
    assert torch.equal(text_step(ids, logits, 0.1, 0.0, seeded()), logits.argmax(-1))


def test_step_does_not_write_into_its_input():
    ids = torch.zeros(1, 50, dtype=torch.int64)
    text_step(ids, oracle_logits(torch.ones_like(ids)), 1.0, 0.1, seeded())
    assert not ids.any()


def test_redrawn_ids_follow_the_softmax_of_their_logits():
    # chi-square over 8 ids: 7 degrees of freedom exceed 29.9 once in ten thousand seeds
    logits = torch.tensor([2.0, 0.0, -1.0, 1.5, 0.3, -3.0, 0.0, 1.0])
    ids = torch.zeros(1, COUNT, dtype=torch.int64)
    everywhere = logits.expand(1, COUNT, VOCAB)
    drawn = text_step(ids, everywhere, 1.0, 1e-12, seeded())
    expected = logits.softmax(0) * COUNT
    observed = torch.bincount(drawn[0], minlength=VOCAB)
    assert ((observed - expected).square() / expected).sum() < 29.9
