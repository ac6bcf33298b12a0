"""The demo's autoencoder and its training."""

import json
import random

import pytest
import torch
from diffusers import AutoencoderKLWan
from tiny_models import tiny_vae

from model.training.autoencoder import (
    AutoencoderRun,
    _area_error,
    _step,
    new_autoencoder,
    reconstruction_psnr,
    train_autoencoder,
)
from model.training.moving_shapes import coverages, render, sample_scene
from model.training.optimizers import KernelOptimizers
from model.training.patch_code import PatchCode


def scenes(count):
    rng = random.Random(0)
    return [sample_scene(rng) for _ in range(count)]


def world(count):
    return render(scenes(count), side=32)


def test_demo_autoencoder_is_small_and_leaves_latents_as_they_are():
    vae = new_autoencoder()
    assert sum(p.numel() for p in vae.parameters()) < 3e6
    assert set(vae.config.latents_mean) == {0.0}
    assert set(vae.config.latents_std) == {1.0}


def test_psnr_is_that_of_the_decoded_clips():
    vae, clips = tiny_vae(), world(2)
    with torch.inference_mode():
        decoded = vae.decode(vae.encode(clips).latent_dist.mode()).sample
    expected = -10 * torch.log10(((decoded - clips) / 2).square().mean())
    assert reconstruction_psnr(vae, clips) == pytest.approx(expected.item(), abs=1e-3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two steps on the code, two end to end, and what was said of them."""
    run = AutoencoderRun(
        tmp_path_factory.mktemp("vae"),
        num_steps=4,
        code_steps=2,
        batch_size=1,
        warmup_steps=1,
        save_every=4,
    )
    return run, list(train_autoencoder(run))


def test_training_reports_every_step_and_what_it_saves(run):
    options, rows = run
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert ["psnr" in row for row in rows] == [False, False, False, True]
    log = (options.out_dir / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in log] == rows


@pytest.mark.parametrize("learns_code", [True, False])
def test_pixels_reach_the_encoder_only_once_the_code_is_learned(tmp_path, learns_code):
    vae, clips = new_autoencoder(), world(2)[:, :, :5]
    drawn = clips, coverages(scenes(2), side=32)[:, :5]
    run = AutoencoderRun(tmp_path, area_weight=6.0)
    losses = _step(vae, PatchCode.fit(clips), drawn, run, learns_code)
    (losses["pixels"] + losses["area"]).backward()
    assert all((p.grad is None) == learns_code for p in vae.encoder.conv_in.parameters())
    expected = losses["pixels"] + (
        losses["code"] if learns_code else 0.1 * losses["code"] + 6 * losses["area"]
    )
    assert torch.equal(losses["total"], expected)


def test_the_area_is_off_by_what_is_drawn_too_much_beside_the_object():
    covered = torch.zeros(1, 2, 16, 16)
    covered[:, :, 4:8, 4:8] = 1
    error = torch.zeros(1, 3, 2, 16, 16)
    error[0, 0, 1, 8, 4:8] = 0.5  # four pixels below it, half red
    error[0, :, :, 12:] = 1  # the ground far away is none of it
    assert _area_error(error, covered)[0].tolist() == [[0, 0.5 * 4 / 16], [0, 0], [0, 0]]


def test_a_decoder_alone_leaves_the_latents_as_they_are(run, tmp_path):
    start = run[0].out_dir
    alone = AutoencoderRun(
        tmp_path, 1, 0, 1, warmup_steps=1, init_from=start, decoder_only=True, area_weight=6.0
    )
    list(train_autoencoder(alone))
    before, after = (AutoencoderKLWan.from_pretrained(each) for each in (start, tmp_path))
    trained = dict(after.named_parameters())
    still = {n for n, p in before.named_parameters() if torch.equal(p, trained[n])}
    parts = {n for n, _ in before.named_parameters() if n.startswith(("encoder.", "quant_conv."))}
    assert still == parts


@pytest.mark.parametrize("other", [{"code_steps": 0}, {"init_from": "vae"}])
def test_a_decoder_has_an_encoder_to_go_with(tmp_path, other):
    with pytest.raises(ValueError, match="decoder_only true: needs init_from and code_steps 0"):
        AutoencoderRun(tmp_path, decoder_only=True, **other)


def test_muon_has_the_kernels_and_no_gain_of_a_norm():
    vae = new_autoencoder()
    kernels = [kernel for kernel, _ in KernelOptimizers(vae, 1e-3)._kernels]
    assert any(kernel is vae.decoder.conv_in.weight for kernel in kernels)
    assert min(kernel[0].numel() for kernel in kernels) >= 16


def test_a_run_that_would_never_read_the_encoder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="code_steps 1000: must be less than num_steps 1000"):
        AutoencoderRun(tmp_path, num_steps=1000)


def test_every_weight_is_trained(run):
    torch.manual_seed(0)
    before, after = new_autoencoder(), AutoencoderKLWan.from_pretrained(run[0].out_dir)
    trained = dict(after.named_parameters())
    still = [n for n, p in before.named_parameters() if torch.equal(p, trained[n])]
    assert not still
