import itertools

import pytest
import torch

from model.schedule import draft_sigmas, shift_sigma, sigma_grid

GRIDS = [(1, 1.0), (7, 1.0), (50, 3.0), (24, 5.0), (9, 0.5)]


@pytest.mark.parametrize(("steps", "shift"), GRIDS)
def test_grid_goes_from_noise_to_clean_in_as_many_steps(steps, shift):
    grid = sigma_grid(steps, shift)
    assert len(grid) == steps + 1
    assert (grid[0], grid[-1]) == (1.0, 0.0)


@pytest.mark.parametrize(("steps", "shift"), GRIDS)
def test_grid_falls_at_every_step(steps, shift):
    grid = sigma_grid(steps, shift)
    assert all(later < earlier for earlier, later in itertools.pairwise(grid))


def test_grid_without_shift_is_even():
    assert sigma_grid(4, 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_shift_is_the_formula_of_wan():
    # s x sigma / (1 + (s - 1) x sigma), worked out by hand
    assert sigma_grid(4, 3.0) == pytest.approx([1.0, 9 / 10, 3 / 4, 1 / 2, 0.0])


def test_shift_moves_tensors_as_it_moves_numbers():
    levels = [0.0, 0.1, 0.5, 0.9, 1.0]
    expected = torch.tensor([shift_sigma(level, 3.0) for level in levels])
    torch.testing.assert_close(shift_sigma(torch.tensor(levels), 3.0), expected)


def test_shift_by_the_inverse_undoes_itself():
    assert shift_sigma(shift_sigma(0.3, 3.0), 1 / 3.0) == pytest.approx(0.3)


@pytest.mark.parametrize(("steps", "shift"), GRIDS)
def test_a_draft_that_is_never_ahead_of_its_video_has_a_grid_of_its_own(steps, shift):
    assert draft_sigmas(sigma_grid(steps, 5.0), 0.0, shift) == sigma_grid(steps, shift)


def test_a_draft_is_finished_when_its_video_comes_to_the_level():
    video_sigmas = [1.0, 0.95, 0.9, 0.5, 0.2, 0.0]
    assert draft_sigmas(video_sigmas, 0.9, 1.0) == [1.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert draft_sigmas(video_sigmas, 0.99, 3.0) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert draft_sigmas(video_sigmas, 0.3, 1.0)[3:] == [0.25, 0.0, 0.0]
