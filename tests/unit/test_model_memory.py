"""What a request is said to need, against the bytes that are really alive."""

import gc

import numpy as np
import pytest
import torch
from tiny_models import tiny_pipeline, tiny_vae

from benchmarks.live_memory import LiveMemory
from model.feature_cache import FeatureCache
from model.memory import generation_need, understanding_need

SHAPES = [(32, 32, 9), (64, 64, 5), (64, 64, 17)]
#: an estimate above the truth by more than this would refuse what fits
SLACK = 5


def pipeline(residual=True, draft_above=0.0, **config):
    made = tiny_pipeline(understanding_attention="isolated", **config)
    made.config.serving["draft_above"] = draft_above
    if not residual:
        made.register_modules(vae=tiny_vae(residual=False))
    return made


def peak(function):
    """Return the most bytes alive while something ran."""
    gc.collect()
    with LiveMemory() as memory:
        function()
    return memory.peak


def generate(made, height, width, num_frames, **options):
    *_, last = made.generate_steps(
        "a red circle",
        height=height,
        width=width,
        num_frames=num_frames,
        num_inference_steps=2,
        guidance_scale=3.0,
        seed=0,
        **options,
    )
    return list(made.decode_latents(last.latents))


def understand(made, height, width, num_frames):
    clip = np.zeros((num_frames, height, width, 3), np.uint8)
    return made.understand(clip, num_inference_steps=2, seed=0)


@pytest.mark.parametrize("residual", [True, False], ids=["wan2.2", "wan2.1"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize(
    ("act", "need_of"),
    [(generate, generation_need), (understand, understanding_need)],
    ids=["generate", "understand"],
)
def test_need_covers_what_is_alive_and_not_much_more(act, need_of, shape, residual):
    made, (height, width, frames) = pipeline(residual), shape
    need = need_of(made.transformer, made.vae, frames, height, width)
    alive = peak(lambda: act(made, height, width, frames))
    assert alive <= need.held + need.step <= SLACK * alive


def test_need_of_a_network_that_outweighs_its_autoencoder():
    made = pipeline(num_attention_heads=8, ffn_dim=1024)
    need = generation_need(made.transformer, made.vae, 5, 32, 32)
    alive = peak(lambda: generate(made, 32, 32, 5))
    assert alive <= need.held + need.step <= SLACK * alive


def test_a_feature_cache_is_counted():
    made = pipeline(num_attention_heads=8, ffn_dim=1024)
    shape = 32, 32, 5
    plain, more = (
        generation_need(made.transformer, made.vae, 5, 32, 32, has_feature_cache=flag)
        for flag in (False, True)
    )
    cached = peak(lambda: generate(made, *shape, features=FeatureCache(1e-9)))
    assert more.step == plain.step
    assert cached - peak(lambda: generate(made, *shape)) <= more.held - plain.held
    assert cached <= more.held + more.step <= SLACK * cached


@pytest.mark.parametrize("has_feature_cache", [False, True])
def test_the_branch_of_a_draft_is_counted(has_feature_cache):
    size = {"num_attention_heads": 8, "ffn_dim": 1024, "condition_length": 400}
    peaks, needs = [], []
    for draft_above in (0.0, 0.8):
        made = pipeline(draft_above=draft_above, **size)
        options = {"features": FeatureCache(1e-9)} if has_feature_cache else {}
        peaks.append(peak(lambda made=made, options=options: generate(made, 32, 32, 5, **options)))
        needs.append(
            generation_need(
                made.transformer,
                made.vae,
                5,
                32,
                32,
                has_draft=draft_above > 0,
                has_feature_cache=has_feature_cache,
            )
        )
    assert peaks[1] - peaks[0] == pytest.approx(needs[1].held - needs[0].held, rel=0.1)
    assert peaks[1] <= needs[1].held + needs[1].step <= SLACK * peaks[1]


def test_what_a_caption_holds_between_its_steps_is_counted():
    made = pipeline()
    gc.collect()
    with LiveMemory() as memory, torch.inference_mode():
        kept = made.begin_understanding(
            np.zeros((9, 32, 32, 3), np.uint8), num_inference_steps=2, seed=0
        )
        gc.collect()
    assert memory.now <= understanding_need(made.transformer, made.vae, 9, 32, 32).held
    assert not kept.is_done


def test_longer_and_larger_needs_more():
    made = pipeline()
    needs = [generation_need(made.transformer, made.vae, *s) for s in [(5, 32, 32), (9, 64, 32)]]
    assert needs[0].held < needs[1].held
    assert needs[0].step < needs[1].step
