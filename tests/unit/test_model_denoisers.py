"""Guidance, and understanding from a cached video."""

import pytest
import torch
from tiny_models import inputs, seeded, tiny_transformer

from model.denoisers import full_understanding, guided, isolated_understanding
from model.sampler import JointState, sample_steps
from model.schedule import sigma_grid

CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module")
def transformer():
    return tiny_transformer(understanding_attention="isolated")


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def state(transformer):
    arguments = inputs(transformer, batch=1)
    return JointState(arguments["hidden_states"], arguments["caption_ids"], 0.9, 0.6)


def condition(seed):
    return torch.randn(1, 12, 16, generator=seeded(seed))


def guidance(transformer, scale, seed=1):
    noise_caption = torch.randint(66, (1, 10), generator=seeded(7))
    return guided(transformer, condition(seed), guidance_scale=scale, noise_caption=noise_caption)


def test_a_finished_draft_takes_the_prompts_place(transformer, state):
    asked = []

    def encode(draft):
        asked.append(draft)
        return condition(2)

    def velocities(seed, scale, state, **options):
        noise = torch.randint(66, (1, 10), generator=seeded(7))
        denoise = guided(
            transformer, condition(seed), guidance_scale=scale, noise_caption=noise, **options
        )
        return [denoise(state)[0] for _ in range(2)]

    finished = JointState(state.latents, state.caption, 0.9, 0.0)
    for scale in (1.0, 3.0):
        asked.clear()
        drafting = velocities(1, scale, state, encode_draft=encode)
        assert not asked
        assert torch.equal(drafting[0], velocities(1, scale, state)[0])
        drafted = velocities(1, scale, finished, encode_draft=encode)
        assert len(asked) == 1  # for all steps
        assert asked[0] is finished.caption
        assert torch.equal(drafted[0], drafted[1])
        assert torch.equal(drafted[0], velocities(2, scale, finished)[0])
        assert not torch.equal(drafted[0], velocities(1, scale, finished)[0])


def calls(module):
    """Return a list that grows by the arguments of every call of `module`."""
    seen = []
    module.register_forward_pre_hook(lambda _, args: seen.append(args))
    return seen


def test_guidance_extrapolates_from_the_unconditional_velocity(transformer, state):
    at = {scale: guidance(transformer, scale)(state)[0] for scale in (0, 1, 3)}
    torch.testing.assert_close(at[3], at[0] + 3 * (at[1] - at[0]), **CLOSE)
    assert (at[1] - at[0]).abs().max() > 1e-2


def test_guidance_leaves_the_caption_conditional(transformer, state):
    assert torch.equal(guidance(transformer, 1)(state)[1], guidance(transformer, 3)(state)[1])


@pytest.mark.parametrize(("scale", "branches"), [(1, 1), (1.0, 1), (0, 2), (3.0, 2)])
def test_guidance_one_runs_one_branch(state, scale, branches):
    transformer = tiny_transformer()
    seen = calls(transformer)
    guidance(transformer, scale)(state)
    assert len(seen) == branches


@pytest.mark.parametrize("caption", [True, False], ids=["joint", "video_only"])
def test_from_a_noise_level_down_nothing_is_guided(state, caption):
    transformer = tiny_transformer()
    state = state if caption else JointState(state.latents, None, state.video_sigma)
    noise = torch.randint(66, (1, 10), generator=seeded(7)) if caption else None

    def velocity(scale, above):
        denoise = guided(
            transformer,
            condition(1),
            guidance_scale=scale,
            guidance_above=above,
            noise_caption=noise,
        )
        return denoise(state)[0]

    assert torch.equal(velocity(3, state.video_sigma), velocity(1, 0.0))
    assert torch.equal(velocity(3, state.video_sigma - 0.01), velocity(3, 0.0))
    assert not torch.equal(velocity(3, 0.0), velocity(1, 0.0))


def test_the_unconditional_branch_sees_neither_prompt_nor_draft(transformer, state):
    other = JointState(state.latents, (state.caption + 1) % 66, 0.9, 0.2)
    one = guidance(transformer, 0, seed=1)(state)[0]
    assert torch.equal(one, guidance(transformer, 0, seed=2)(other)[0])


def test_the_unconditional_branch_has_its_caption_at_full_noise(state):
    transformer = tiny_transformer()
    seen = calls(transformer)
    guidance(transformer, 3)(state)
    (_, _, _, _, conditional), (_, _, null, _, unconditional) = seen
    assert conditional.tolist() == pytest.approx([600.0])
    assert unconditional.tolist() == [1000.0]
    assert null.is_constant


def test_without_captions_both_branches_share_what_knows_no_condition(transformer, state):
    video = JointState(state.latents, None, 0.9)
    seen = [calls(block.attn1.to_q) for block in transformer.blocks]
    velocity, logits = guided(transformer, condition(1), guidance_scale=3, noise_caption=None)(
        video
    )
    assert [len(one) for one in seen] == [1, 2]
    time = torch.tensor([900.0])
    one, null = (
        transformer(state.latents, time, states)[0]
        for states in (condition(1), torch.zeros(1, 12, 16))
    )
    torch.testing.assert_close(velocity, null + 3 * (one - null), **CLOSE)
    assert logits is None


def caption_steps(denoise):
    """Return the ids after every step, and every step's logits."""
    logits = []

    def record(state):
        logits.append(denoise(state)[1])
        return None, logits[-1]

    draft = torch.randint(66, (1, 10), generator=seeded(8))
    steps = sample_steps(
        JointState(None, draft),
        record,
        video_sigmas=None,
        text_sigmas=sigma_grid(6, 1.0),
        generator=seeded(9),
    )
    return [step.token_ids for step in steps], logits


@pytest.mark.parametrize("instruction", [None, 1, 2], ids=["none", "one", "another"])
def test_cached_understanding_equals_the_full_forward(transformer, instruction):
    clip = inputs(transformer, batch=1)["hidden_states"]
    asked = torch.zeros(1, 12, 16) if instruction is None else condition(instruction)
    ids, logits = caption_steps(isolated_understanding(transformer, clip, asked))
    reference = full_understanding(transformer, clip, asked, isolate=True)
    expected_ids, expected_logits = caption_steps(reference)
    for one, two in zip(logits, expected_logits, strict=True):
        torch.testing.assert_close(one, two, **CLOSE)
    for one, two in zip(ids, expected_ids, strict=True):
        assert torch.equal(one, two)


def test_the_instruction_reaches_the_caption(transformer):
    clip = inputs(transformer, batch=1)["hidden_states"]
    one, two = (
        caption_steps(isolated_understanding(transformer, clip, condition(seed)))[1][0]
        for seed in (1, 2)
    )
    assert (one - two).abs().max() > 1e-3


def test_bidirectional_understanding_is_another_forward(transformer):
    clip = inputs(transformer, batch=1)["hidden_states"]
    isolated, free = (
        caption_steps(full_understanding(transformer, clip, condition(1), isolate=flag))[1][0]
        for flag in (True, False)
    )
    assert (isolated - free).abs().max() > 1e-3


def test_the_cache_does_not_depend_on_the_instruction(transformer):
    clip = inputs(transformer, batch=1)["hidden_states"]
    caches = [transformer.cache_video(clip, torch.zeros(1), condition(seed)) for seed in (1, 2)]
    for one, two in zip(*caches, strict=True):
        assert torch.equal(one.key, two.key)
        assert torch.equal(one.value, two.value)


def test_cached_understanding_runs_the_video_once():
    transformer = tiny_transformer()
    whole, video = calls(transformer), calls(transformer.patch_embedding)
    clip = inputs(transformer, batch=1)["hidden_states"]
    caption_steps(isolated_understanding(transformer, clip, condition(1)))
    assert len(video) == 1
    assert not whole


def test_the_last_block_of_a_cached_video_makes_keys_and_values_only():
    transformer = tiny_transformer()
    first, last = (calls(block.ffn) for block in transformer.blocks)
    clip = inputs(transformer, batch=1)["hidden_states"]
    caption_steps(isolated_understanding(transformer, clip, condition(1)))
    assert (len(first), len(last)) == (1, 0)


def test_cached_understanding_equals_a_whole_forward_for_embeddings_too(transformer):
    arguments = inputs(transformer, batch=1)
    clip, draft = arguments["hidden_states"], torch.randn(1, 10, 48, generator=seeded(8))
    state = JointState(None, draft, 0.0, 0.6)
    _, cached = isolated_understanding(transformer, clip, condition(1))(state)
    _, whole = full_understanding(transformer, clip, condition(1), isolate=True)(state)
    torch.testing.assert_close(cached, whole, **CLOSE)
