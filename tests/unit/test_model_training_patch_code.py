"""The linear patch code that the autoencoder begins with."""

import random

import pytest
import torch

from model.latents import encode_pixels
from model.training.autoencoder import new_autoencoder
from model.training.moving_shapes import render, sample_scene
from model.training.patch_code import PatchCode


def world(count, seed=0):
    rng = random.Random(seed)
    return render([sample_scene(rng) for _ in range(count)], side=32)


@pytest.fixture(scope="module")
def clips():
    return world(16)


@pytest.fixture(scope="module")
def code(clips):
    return PatchCode.fit(clips)


def decode(code, latents):
    """Return the blocks (N, F', H', W', 768) nearest to a code."""
    return latents.permute(0, 2, 3, 4, 1) @ torch.linalg.pinv(code.basis).T + code.mean


def test_code_has_the_shape_of_the_autoencoder_s_latents(code, clips):
    vae = new_autoencoder()
    with torch.inference_mode():
        latents = encode_pixels(vae, clips[:1])
    assert code.encode(clips).shape == (16, 16, 5, 4, 4)
    assert latents.shape == (1, 16, 5, 4, 4)


def test_code_of_a_mix_is_the_mix_of_codes(code, clips):
    one, two = clips[:8], clips[8:]
    mixed = code.encode(0.3 * one + 0.7 * two)
    expected = 0.3 * code.encode(one) + 0.7 * code.encode(two)
    torch.testing.assert_close(mixed, expected, atol=1e-4, rtol=0)


def test_code_is_centred_with_unit_mean_square(code, clips):
    latents = code.encode(clips)
    assert latents.mean((0, 2, 3, 4)).abs().max() < 1e-3
    assert latents.square().mean().item() == pytest.approx(1, abs=1e-2)


def test_components_are_orthogonal_and_strongest_first(code):
    products = code.basis @ code.basis.T
    assert (products - products.diag().diag()).abs().max() < 1e-4 * products.max()
    spread = code.encode(world(16)).permute(1, 0, 2, 3, 4).flatten(1).std(1)
    assert (spread.diff() < 1e-3).all()


def test_code_keeps_most_of_the_world(code):
    # blocks are the code's own: the first frame counts as four equal ones
    unseen = world(4, seed=1)
    padded = torch.cat([unseen[:, :, :1].expand(-1, -1, 3, -1, -1), unseen], 2)
    blocks = padded.unfold(2, 4, 4).unfold(3, 8, 8).unfold(4, 8, 8)  # N 3 F' H' W' 4 8 8
    blocks = blocks.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4)
    error = (decode(code, code.encode(unseen)) - blocks).square().mean()
    assert error < 0.05 * (blocks - code.mean).square().mean()


def test_the_first_frame_is_coded_alone(code, clips):
    changed = clips.clone()
    changed[:, :, 1:] = 0
    assert torch.equal(code.encode(changed)[:, :, 0], code.encode(clips)[:, :, 0])


def test_a_regression_finds_the_code_behind_latents(code, clips):
    many = world(96)
    found = PatchCode.regress(many, code.encode(many))
    unseen = world(4, seed=1)
    torch.testing.assert_close(found.encode(unseen), code.encode(unseen), atol=0.1, rtol=0)


def test_a_clip_is_its_background_and_its_coloured_outline(code):
    coverage = torch.rand(2, 5, 16, 16)
    background, color = torch.tensor([[-1.0, 0.5, 0.2]]), torch.tensor([[0.3, -0.6, 1.0]])
    tint = (color - background)[0]
    clips = background.view(1, 3, 1, 1, 1) + tint.view(1, 3, 1, 1, 1) * coverage[:, None]
    outline = torch.einsum("a,nacfhw->ncfhw", tint, code.outline(coverage))
    plain = code.plain(background).view(1, -1, 1, 1, 1)
    torch.testing.assert_close(plain + outline, code.encode(clips), atol=1e-3, rtol=0)
