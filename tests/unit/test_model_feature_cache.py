"""Passes that run no block: when, at what price, and that they are counted."""

from itertools import pairwise

import pytest
import torch
from tiny_models import inputs, seeded, tiny_pipeline, tiny_transformer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.denoisers import guided
from model.feature_cache import FeatureCache
from model.sampler import JointState

PROMPT = "a red circle moving left"
STEPS = 12
#: below every change and above every one
NEVER, ALWAYS = 1e-9, 1e9


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def last_step(pipeline, features=None, mode="joint", guidance_scale=3.0):
    *_, last = pipeline.generate_steps(
        PROMPT,
        mode=mode,
        height=32,
        width=32,
        num_frames=5,
        num_inference_steps=STEPS,
        guidance_scale=guidance_scale,
        seed=0,
        features=features,
    )
    return last


def denoiser(transformer, features, caption=True):
    condition = torch.randn(1, 12, 16, generator=seeded(1))
    noise = torch.randint(66, (1, 10), generator=seeded(7)) if caption else None
    return guided(transformer, condition, guidance_scale=3, noise_caption=noise, features=features)


def state(transformer, sigma=0.9, caption=True):
    given = inputs(transformer, batch=1)
    ids = given["caption_ids"] if caption else None
    return JointState(given["hidden_states"], ids, sigma, 0.6 if caption else 0.0)


@pytest.mark.parametrize("threshold", [NEVER, ALWAYS])
def test_a_draft_in_the_prompts_place_has_features_of_its_own(threshold):
    pipeline = tiny_pipeline()
    pipeline.config.serving.update(draft_above=0.8, rereads_caption=True)
    features = FeatureCache(threshold)
    cached = last_step(pipeline, features)
    if threshold == NEVER:
        assert torch.equal(cached.latents, last_step(pipeline).latents)
    else:
        assert features.num_reused == features.num_passes - 3  # prompt, draft and neither


def calls(module):
    """Return a list that grows by every call of `module`."""
    seen = []
    module.register_forward_pre_hook(lambda *_: seen.append(None))
    return seen


def flops(function):
    # the counter knows the plain kernel's products, not those inside the CPU's fused one
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("mode", ["joint", "text_to_video", "video_only"])
def test_where_every_input_has_changed_the_bits_are_those_without_a_cache(
    pipeline, mode, guidance_scale
):
    features = FeatureCache(NEVER)
    made = last_step(pipeline, features, mode, guidance_scale)
    plain = last_step(pipeline, None, mode, guidance_scale)
    assert torch.equal(made.latents, plain.latents)
    assert mode != "joint" or torch.equal(made.token_ids, plain.token_ids)
    branches = 1 if guidance_scale == 1 else 2
    assert (features.num_passes, features.num_reused) == (branches * STEPS, 0)


@pytest.mark.parametrize("caption", [True, False])
def test_reused_pass_of_the_same_input_gives_the_same_answer(caption):
    transformer = tiny_transformer()
    features = FeatureCache(NEVER)
    denoise = denoiser(transformer, features, caption)
    first = denoise(state(transformer, caption=caption))
    again = denoise(state(transformer, caption=caption))
    assert (features.num_passes, features.num_reused) == (4, 2)
    for one, other in zip(first, again, strict=True):
        assert (one is None and other is None) or torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("caption", [True, False])
def test_reused_pass_runs_no_block(caption):
    transformer = tiny_transformer()
    projections = calls(transformer.blocks[0].attn1.to_q)
    denoise = denoiser(transformer, FeatureCache(ALWAYS), caption)
    denoise(state(transformer, 0.9, caption))
    before = len(projections)
    denoise(state(transformer, 0.8, caption))
    assert len(projections) == before


def test_reused_pass_costs_what_is_before_and_behind_the_blocks():
    shallow, deep = (tiny_transformer(num_layers=layers) for layers in (1, 3))
    costs = []
    for transformer in (shallow, deep):
        denoise = denoiser(transformer, FeatureCache(ALWAYS))
        whole = flops(lambda: denoise(state(transformer, 0.9)))  # noqa: B023 - called at once
        reused = flops(lambda: denoise(state(transformer, 0.8)))  # noqa: B023
        costs.append((whole, reused))
    (less, ends), (more, same_ends) = costs
    assert ends == same_ends
    assert ends < 0.5 * less < 0.5 * more


def test_input_that_creeps_is_measured_from_the_last_computed_pass():
    transformer = tiny_transformer()
    here = state(transformer, caption=False).latents
    there = torch.randn(here.shape, generator=seeded(5))
    denoise = denoiser(transformer, features := FeatureCache(0.2), caption=False)
    reused = []
    for angle in torch.linspace(0, 1.5, 31):  # no single step comes near the threshold
        denoise(JointState(here * angle.cos() + there * angle.sin(), None, 0.9))
        reused.append(features.num_reused)
    assert 0 < reused[-1] < 2 * 30
    assert sum(one == other for one, other in pairwise(reused)) >= 2


def test_caption_that_moves_counts_as_a_change():
    transformer = tiny_transformer()
    given = state(transformer)
    denoise = denoiser(transformer, features := FeatureCache(0.3))
    denoise(given)
    denoise(JointState(given.latents, (given.caption + 1) % 66, 0.9, 0.6))
    assert features.num_reused == 1  # the unconditional branch, which reads no draft


def test_error_grows_with_the_threshold_and_stays_small_where_that_is(pipeline):
    exact = last_step(pipeline, mode="video_only").latents
    errors, shares = [], []
    for threshold in (0.05, 0.2, 0.8):
        features = FeatureCache(threshold)
        made = last_step(pipeline, features, "video_only").latents
        errors.append(float((made - exact).norm() / exact.norm()))
        shares.append(features.num_reused / features.num_passes)
    assert shares == sorted(shares)
    assert 0 < shares[1] < 1
    assert errors[0] < 0.02
    assert errors[1] < 0.1


def test_jobs_in_turn_keep_their_own(pipeline):
    alone = [last_step(pipeline, FeatureCache(0.2)).latents for _ in range(2)]
    options = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": STEPS}
    jobs = [
        pipeline.generate_steps(
            PROMPT, guidance_scale=3.0, seed=seed, features=FeatureCache(0.2), **options
        )
        for seed in (0, 1)
    ]
    for mine, _ in zip(*jobs, strict=True):
        last = mine
    assert torch.equal(last.latents, alone[0])
