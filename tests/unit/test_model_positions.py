"""Rotary angles of the video grid."""

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

from model.positions import VideoPositions

SHAPE = (12, (1, 1, 1), 16)
LATENTS = torch.zeros(1, 4, 3, 5, 6)
WANS = [1.0, 1e-2]  # of two pairs


def grids(positions):
    """Return cosines and sines as (frames, rows, columns, channels)."""
    return [table.view(3, 5, 6, -1) for table in positions(LATENTS)]


@pytest.mark.parametrize("angles", [None, WANS])
def test_wans_angles_are_wans_to_the_bit(angles):
    own, wan = VideoPositions(*SHAPE, angles)(LATENTS), WanRotaryPosEmbed(*SHAPE)(LATENTS)
    for table, reference in zip(own, wan, strict=True):
        assert torch.equal(table, reference)


def test_half_the_angles_put_every_second_token_where_wan_puts_each():
    half = VideoPositions(*SHAPE, [angle / 2 for angle in WANS])
    for own, reference in zip(grids(half), grids(WanRotaryPosEmbed(*SHAPE)), strict=True):
        torch.testing.assert_close(own[:, ::2, ::2], reference[:, :3, :3])


def test_a_row_and_a_column_turn_each_pair_by_its_angle():
    cosines, sines = grids(VideoPositions(*SHAPE, [0.3, 2.0]))
    angles = torch.tensor([0.3, 0.3, 2.0, 2.0])
    for place in range(5):
        for row, column, channels in ((place, 0, slice(4, 8)), (0, place, slice(8, 12))):
            torch.testing.assert_close(cosines[1, row, column, channels], (place * angles).cos())
            torch.testing.assert_close(sines[1, row, column, channels], (place * angles).sin())


def test_frames_keep_their_distance():
    own = grids(VideoPositions(*SHAPE, [0.3, 2.0]))
    for table, reference in zip(own, grids(WanRotaryPosEmbed(*SHAPE)), strict=True):
        assert torch.equal(table[:, 0, 0, :4], reference[:, 0, 0, :4])


def test_a_wrong_number_of_angles_is_refused():
    with pytest.raises(ValueError, match=r"rope_angles \[1.0\]: must be 2 numbers"):
        VideoPositions(*SHAPE, [1.0])
