"""Pixels and latents: scaling, and decoding one latent frame at a time."""

import pytest
import torch
from tiny_models import MEAN, STD, seeded, tiny_vae

from model.latents import decode_chunks, encode_pixels, from_uint8, to_uint8


@pytest.fixture(scope="module", params=[True, False], ids=["Wan2.2 layout", "Wan2.1 layout"])
def vae(request):
    return tiny_vae(request.param)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def statistics():
    return torch.tensor(MEAN).view(1, 4, 1, 1, 1), torch.tensor(STD).view(1, 4, 1, 1, 1)


def pixels(batch=1, frames=9):
    return torch.rand(batch, 3, frames, 32, 32, generator=seeded()) * 2 - 1


def raw_latents(seed=0, frames=3):
    return torch.randn(1, 4, frames, 4, 4, generator=seeded(seed))


def test_encoding_normalises_the_mode_of_the_posterior(vae):
    mean, std = statistics()
    mode = vae.encode(pixels()).latent_dist.mode()
    torch.testing.assert_close(encode_pixels(vae, pixels()), (mode - mean) / std)


def test_encoding_draws_nothing(vae):
    assert torch.equal(encode_pixels(vae, pixels()), encode_pixels(vae, pixels()))


@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (5, 2), (17, 5)])
def test_four_frames_make_a_latent_frame_after_the_first(vae, frames, latent_frames):
    assert encode_pixels(vae, pixels(2, frames)).shape == (2, 4, latent_frames, 4, 4)


def test_decoding_denormalises_and_equals_the_autoencoder(vae):
    mean, std = statistics()
    raw = raw_latents()
    decoded = torch.cat(list(decode_chunks(vae, (raw - mean) / std)), dim=2).clamp(-1, 1)
    torch.testing.assert_close(decoded, vae.decode(raw).sample, atol=1e-5, rtol=0)


def test_streamed_decoding_equals_the_autoencoder_bit_for_bit():
    vae = tiny_vae(mean=[0.0] * 4, std=[1.0] * 4)
    streamed = torch.cat(list(decode_chunks(vae, raw_latents())), dim=2)
    assert torch.equal(streamed.clamp(-1, 1), vae.decode(raw_latents()).sample)


def test_decoding_yields_one_frame_and_then_four_at_a_time(vae):
    assert [chunk.shape[2] for chunk in decode_chunks(vae, raw_latents(frames=4))] == [1, 4, 4, 4]


def test_the_first_chunk_needs_only_the_first_latent_frame(vae):
    changed = raw_latents()
    changed[:, :, 1:] = 0
    first = next(decode_chunks(vae, raw_latents()))
    assert torch.equal(first, next(decode_chunks(vae, changed)))


def test_interleaved_decodes_do_not_disturb_each_other(vae):
    alone = [list(decode_chunks(vae, raw_latents(seed))) for seed in (1, 2)]
    turns = zip(*(decode_chunks(vae, raw_latents(seed)) for seed in (1, 2)), strict=True)
    for taking_turns, undisturbed in zip(turns, zip(*alone, strict=True), strict=True):
        for one, two in zip(taking_turns, undisturbed, strict=True):
            assert torch.equal(one, two)


def test_an_encode_in_between_does_not_disturb_a_decode(vae):
    alone = list(decode_chunks(vae, raw_latents()))
    for chunk, expected in zip(decode_chunks(vae, raw_latents()), alone, strict=True):
        encode_pixels(vae, pixels())
        assert torch.equal(chunk, expected)


def test_every_byte_survives_the_way_to_pixels_and_back():
    frames = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16, 1).expand(-1, -1, -1, -1, 3)
    assert torch.equal(to_uint8(from_uint8(frames)), frames)


def test_pixels_beyond_the_range_are_clamped():
    values = torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0]).view(1, 1, 1, 1, 5).expand(1, 3, 1, 1, 5)
    assert to_uint8(values)[0, 0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_channels_are_last_in_bytes_and_second_in_pixels():
    frames = torch.zeros(2, 5, 32, 48, 3, dtype=torch.uint8)
    frames[..., 1] = 255
    converted = from_uint8(frames)
    assert converted.shape == (2, 3, 5, 32, 48)
    assert [converted[:, c].unique().tolist() for c in range(3)] == [[-1], [1], [-1]]
