"""Rotary angles of the video grid."""

import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

from model.positions import VideoPositions

SHAPE = (12, (1, 1, 1), 16)
LATENTS = torch.zeros(1, 4, 3, 5, 6)


def test_a_spacing_of_one_is_wans():
    for own, wan in zip(
        VideoPositions(*SHAPE)(LATENTS), WanRotaryPosEmbed(*SHAPE)(LATENTS), strict=True
    ):
        assert torch.equal(own, wan)


def test_half_a_spacing_puts_every_second_token_where_wan_puts_each():
    half = VideoPositions(*SHAPE, spacing=0.5)(LATENTS)
    wan = WanRotaryPosEmbed(*SHAPE)(LATENTS)
    for own, reference in zip(half, wan, strict=True):
        own, reference = (table.view(3, 5, 6, -1) for table in (own, reference))
        torch.testing.assert_close(own[:, ::2, ::2], reference[:, :3, :3])


def test_frames_keep_their_distance():
    half = VideoPositions(*SHAPE, spacing=0.5)(LATENTS)
    wan = WanRotaryPosEmbed(*SHAPE)(LATENTS)
    for own, reference in zip(half, wan, strict=True):
        own, reference = (table.view(3, 5, 6, -1) for table in (own, reference))
        torch.testing.assert_close(own[:, 0, 0], reference[:, 0, 0])
