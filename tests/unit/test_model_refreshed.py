"""Looking at the video every few steps: exact at each look, cheaper between."""

import pytest
import torch
from tiny_models import clip, inputs, seeded, tiny_pipeline, tiny_transformer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.denoisers import full_understanding
from model.refreshed import RefreshedUnderstanding
from model.sampler import JointState

STEPS = 6


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def flops(function):
    # the counter knows the plain kernel's products, not those inside the CPU's fused one
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def latents(transformer):
    return inputs(transformer, batch=1)["hidden_states"]


def conditions(transformer):
    states = torch.randn(1, 12, 16, generator=seeded(1))
    return [transformer.prepare_condition(states), transformer.prepare_null(states)]


def drafts():
    """Yield a caption that changes by a token in every step."""
    ids = torch.randint(66, (1, 10), generator=seeded(3))
    for step in range(STEPS):
        yield JointState(None, ids, 0.0, 1 - step / STEPS)
        ids = ids.clone()
        ids[:, step] = (ids[:, step] + 1) % 66


@pytest.mark.parametrize("kind", [0, 1], ids=["question", "null"])
def test_a_look_in_every_step_is_the_whole_forward_to_the_bit(kind):
    transformer = tiny_transformer()
    condition = conditions(transformer)[kind]
    whole = full_understanding(transformer, latents(transformer), condition, isolate=False)
    refreshed = RefreshedUnderstanding(transformer, latents(transformer), condition, 1)
    for state in drafts():
        assert torch.equal(refreshed(state)[1], whole(state)[1])
    assert (refreshed.num_steps, refreshed.num_reused) == (STEPS, 0)


def test_each_look_is_exact_and_each_step_between_is_close_to_it():
    transformer = tiny_transformer()
    condition = conditions(transformer)[0]
    whole = full_understanding(transformer, latents(transformer), condition, isolate=False)
    refreshed = RefreshedUnderstanding(transformer, latents(transformer), condition, 3)
    errors = []
    for state in drafts():
        exact = whole(state)[1]
        errors.append(float((refreshed(state)[1] - exact).norm() / exact.norm()))
    assert [error == 0 for error in errors] == [True, False, False] * 2
    assert max(errors) < 0.05
    assert (refreshed.num_steps, refreshed.num_reused) == (STEPS, 4)


def test_steps_between_looks_with_the_same_draft_read_what_the_look_read():
    transformer = tiny_transformer()
    state = next(drafts())
    refreshed = RefreshedUnderstanding(
        transformer, latents(transformer), conditions(transformer)[0], 2
    )
    look, between = refreshed(state)[1], refreshed(state)[1]
    torch.testing.assert_close(between, look, atol=1e-5, rtol=0)


def test_a_step_between_looks_leaves_the_video_out():
    transformer = tiny_transformer(num_layers=4)
    given, condition = latents(transformer), conditions(transformer)[0]
    state = next(drafts())
    whole = flops(lambda: full_understanding(transformer, given, condition, isolate=False)(state))
    refreshed = RefreshedUnderstanding(transformer, given, condition, 2)
    look, between = flops(lambda: refreshed(state)), flops(lambda: refreshed(state))
    config, tokens = transformer.config, given[0, 0].numel() // 4
    width = config.num_attention_heads * config.attention_head_dim
    keys_again = (config.num_layers - 1) * 4 * tokens * width**2
    assert whole <= look <= whole + keys_again + 4 * tokens * width**2
    video = (config.num_layers - 1) * tokens * width * (12 * width + 4 * config.ffn_dim)
    assert whole - between > video


@pytest.mark.parametrize("instruction", [None, "what shape is it ?"])
def test_captions_of_a_pipeline_say_how_many_steps_did_not_look(instruction):
    pipeline = tiny_pipeline()
    options = {"instruction": instruction, "num_inference_steps": STEPS, "seed": 0}
    plain = pipeline.begin_understanding(clip(), **options)
    every = pipeline.begin_understanding(clip(), video_refresh_interval=1, **options)
    third = pipeline.begin_understanding(clip(), video_refresh_interval=3, **options)
    ended = []
    for caption in (plain, every, third):
        while not caption.is_done:
            (last,) = pipeline.advance([caption])
        ended.append((caption.num_reused, last.token_ids))
    assert [reused for reused, _ in ended] == [0, 0, 4]
    assert torch.equal(ended[0][1], ended[1][1])


def test_interval_is_refused_where_one_look_is_enough():
    pipeline = tiny_pipeline(understanding_attention="isolated")
    with pytest.raises(ValueError, match=r"video_refresh_interval 4: .* once, which is exact"):
        pipeline.understand(clip(), seed=0, video_refresh_interval=4)


def test_embeddings_are_refreshed_too():
    transformer = tiny_transformer(text_flow="embedding")
    condition = conditions(transformer)[0]
    draft = torch.randn(1, 10, 48, generator=seeded(8))
    state = JointState(None, draft, 0.0, 0.6)
    whole = full_understanding(transformer, latents(transformer), condition, isolate=False)
    refreshed = RefreshedUnderstanding(transformer, latents(transformer), condition, 2)
    exact = whole(state)[1]
    assert torch.equal(refreshed(state)[1], exact)
    torch.testing.assert_close(refreshed(state)[1], exact, atol=1e-5, rtol=0)
