"""Rotary positions of both streams in closed form."""

import math

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from tiny_models import seeded

from model.attention import text_rotary, video_rotary

DIM, LENGTH = 24, 7


def text():
    return text_rotary(LENGTH, DIM, torch.device("cpu"))


def video():
    return video_rotary(*WanRotaryPosEmbed(DIM, (1, 2, 2), 32)(torch.zeros(1, 4, 3, 4, 6)))


def one_hot(length, channel):
    x = torch.zeros(1, length, 1, DIM)
    x[..., channel] = 1
    return x


@pytest.mark.parametrize(("rotary", "length"), [(text, LENGTH), (video, 18)])
def test_rotation_keeps_lengths_and_leaves_the_first_token_alone(rotary, length):
    x = torch.randn(2, length, 3, DIM, generator=seeded())
    rotated = rotary()(x)
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(rotated[:, 0], x[:, 0])
    assert not torch.equal(rotated[:, 1], x[:, 1])


@pytest.mark.parametrize("rotary", [text, video])
def test_rotation_keeps_the_type_of_its_input(rotary):
    length = LENGTH if rotary is text else 18
    assert rotary()(torch.ones(1, length, 1, DIM, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("channel", [0, 3, 11])
def test_text_pairs_a_channel_with_the_one_half_a_head_away(channel):
    rotated = text()(one_hot(LENGTH, channel))[0, :, 0]
    for position in range(LENGTH):
        angle = position * 10_000 ** (-2 * channel / DIM)
        expected = torch.zeros(DIM)
        expected[channel], expected[channel + DIM // 2] = math.cos(angle), math.sin(angle)
        torch.testing.assert_close(rotated[position], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("channel", [0, 8, 16])
def test_video_pairs_neighbouring_channels(channel):
    rotated = video()(one_hot(18, channel))[0, :, 0]
    assert rotated[:, [channel, channel + 1]].norm(dim=-1).tolist() == pytest.approx([1.0] * 18)


def test_video_axes_turn_their_own_channels():
    # 3 frames x 2 rows x 3 columns; time, height and width have 8 channels each
    grid = video()(torch.ones(1, 18, 1, DIM))[0, :, 0].view(3, 2, 3, 3, 8)
    for axis in range(3):
        along = grid.movedim(axis, 0)[..., axis, :]
        assert torch.equal(along, along[:, :1, :1].expand_as(along))
        assert not torch.equal(along[0], along[1])


def test_text_attention_depends_on_distance_alone():
    query, key = torch.randn(2, DIM, generator=seeded()).view(2, 1, 1, 1, DIM)
    queries, keys = (text()(x.expand(1, LENGTH, 1, DIM))[0, :, 0] for x in (query, key))
    scores = queries @ keys.T
    for distance in range(-LENGTH + 1, LENGTH):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=0)
    assert scores[0].std() > 1e-2
