"""What is not computed twice, or not at all: the same numbers, and fewer operations."""

import pytest
import torch
from tiny_models import inputs, seeded, tiny_transformer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.denoisers import Question, answer, full_understanding, guided, look_at
from model.sampler import JointState

CLOSE = {"atol": 1e-5, "rtol": 0}
WIDE = {"num_layers": 4, "condition_length": 32}


@pytest.fixture(scope="module")
def transformer():
    return tiny_transformer(**WIDE, understanding_attention="isolated").double()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def arguments(transformer):
    given = inputs(transformer, batch=2)
    return {k: v.double() if v.is_floating_point() else v for k, v in given.items()}


def flops(function):
    # the counter knows the plain kernel's products, not those inside the CPU's fused one
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def assert_equal(ones, others):
    for one, other in zip(ones, others, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=0)


def prepared(transformer, arguments):
    states = arguments["encoder_hidden_states"]
    return arguments | {"encoder_hidden_states": transformer.prepare_condition(states)}


def test_condition_prepared_once_gives_the_same_bits(transformer, arguments):
    for one, other in zip(
        transformer(**arguments), transformer(**prepared(transformer, arguments)), strict=True
    ):
        assert torch.equal(one, other)


def test_condition_prepared_once_saves_its_keys_and_values_in_every_step(transformer, arguments):
    before = flops(lambda: transformer(**arguments))
    ready = prepared(transformer, arguments)
    states, config = arguments["encoder_hidden_states"], transformer.config
    tokens = states.shape[0] * states.shape[1]
    width = config.num_attention_heads * config.attention_head_dim
    embedder = 2 * tokens * (config.text_dim * width + width * width)
    keys = config.num_layers * 4 * tokens * width * width
    both_streams = embedder + 2 * keys
    assert before - flops(lambda: transformer(**ready)) == both_streams


def test_null_of_zeros_is_the_same_for_every_query(transformer, arguments):
    states = torch.zeros_like(arguments["encoder_hidden_states"])
    null = transformer.prepare_null(states)
    assert null.is_constant
    whole = transformer(**(arguments | {"encoder_hidden_states": states}))
    assert_equal(transformer(**(arguments | {"encoder_hidden_states": null})), whole)


def test_null_of_zeros_costs_no_cross_attention(transformer, arguments):
    ready = prepared(transformer, arguments)
    null = transformer.prepare_null(arguments["encoder_hidden_states"])
    saved = flops(lambda: transformer(**ready)) - flops(
        lambda: transformer(**(arguments | {"encoder_hidden_states": null}))
    )
    config = transformer.config
    width = config.num_attention_heads * config.attention_head_dim
    queries = 2 * (arguments["hidden_states"][0, 0].numel() // 4 + config.caption_length)
    per_layer = 4 * queries * width * width + 4 * queries * config.condition_length * width
    assert saved == config.num_layers * per_layer


@pytest.mark.parametrize(("outputs", "kept"), [("velocity", 0), ("logits", 1)])
def test_output_that_nobody_reads_is_left_out(transformer, arguments, outputs, kept):
    both = transformer(**arguments)
    one = transformer(**arguments, outputs=outputs)
    torch.testing.assert_close(one[kept], both[kept], atol=1e-11, rtol=0)
    assert one[1 - kept] is None
    whole = flops(lambda: transformer(**arguments))
    assert flops(lambda: transformer(**arguments, outputs=outputs)) < whole


def test_output_that_nobody_reads_is_left_out_under_masks_too(transformer, arguments):
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[:, 7:] = False
    hidden = {"caption_mask": mask, "isolate_video": torch.tensor([True, False])}
    both = transformer(**arguments, **hidden)
    for index, outputs in enumerate(("velocity", "logits")):
        one = transformer(**arguments, **hidden, outputs=outputs)[index]
        torch.testing.assert_close(one, both[index], atol=1e-11, rtol=0)


def test_understanding_in_whole_forwards_leaves_the_last_video_work_out(transformer, arguments):
    clip, condition = arguments["hidden_states"][:1], arguments["encoder_hidden_states"][:1]
    state = JointState(None, arguments["caption_ids"][:1], 0.0, 0.6)
    one = full_understanding(transformer, clip, condition, isolate=False)
    alone = {k: v[:1] for k, v in arguments.items()} | {
        "timestep": torch.zeros(1),
        "caption_timestep": torch.tensor([600.0]),
    }
    torch.testing.assert_close(one(state)[1], transformer(**alone)[1], atol=1e-11, rtol=0)
    config, tokens = transformer.config, clip[0, 0].numel() // 4
    width = config.num_attention_heads * config.attention_head_dim
    least = tokens * width * (4 * width + 4 * config.ffn_dim)  # query, output, expert
    assert flops(lambda: transformer(**alone)) - flops(lambda: one(state)) > least


def test_branches_without_captions_share_the_first_self_attention(transformer, arguments):
    clip = arguments["hidden_states"][:1]
    states = arguments["encoder_hidden_states"][:1]
    both = transformer.prepare_condition(states), transformer.prepare_null(states)
    time = torch.tensor([400.0])
    velocities = transformer.branches(clip, time, both)
    apart = [transformer(clip, time, one)[0] for one in both]
    assert all(torch.equal(one, other) for one, other in zip(velocities, apart, strict=True))
    tokens = clip[0, 0].numel() // 4
    width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
    saved = flops(lambda: [transformer(clip, time, one) for one in both]) - flops(
        lambda: transformer.branches(clip, time, both)
    )
    assert saved >= 6 * tokens * width**2 + 4 * tokens**2 * width


def test_guidance_of_a_joint_job_costs_less_than_two_whole_forwards(transformer, arguments):
    clip, draft = arguments["hidden_states"][:1], arguments["caption_ids"][:1]
    condition = arguments["encoder_hidden_states"][:1]
    denoise = guided(transformer, condition, guidance_scale=3, noise_caption=draft)
    state = JointState(clip, draft, 0.9, 0.6)
    alone = {k: v[:1] for k, v in arguments.items()}
    assert flops(lambda: denoise(state)) < 2 * flops(lambda: transformer(**alone))


def questions(transformer, count, constant=False):
    for seed in range(count):
        clip = inputs(transformer, batch=1, frames=1 + seed % 3, seed=seed)["hidden_states"]
        states = torch.randn(1, 32, 16, generator=seeded(seed)).to(clip.dtype)
        prepare = transformer.prepare_null if constant else transformer.prepare_condition
        yield Question(look_at(transformer, clip), prepare(states))


def drafts(transformer, count):
    for seed in range(count):
        ids = torch.randint(66, (1, 10), generator=seeded(seed))
        yield JointState(None, ids, 0.0, 0.1 + 0.2 * seed)


@pytest.mark.parametrize("constant", [True, False])
def test_captions_of_a_batch_get_the_logits_of_each_alone(constant):
    transformer = tiny_transformer(**WIDE, understanding_attention="isolated")
    asked = list(questions(transformer, 4, constant))
    states = list(drafts(transformer, 4))
    together = answer(transformer, asked, states)
    for question, state, logits in zip(asked, states, together, strict=True):
        (alone,) = answer(transformer, [question], [state])
        torch.testing.assert_close(logits, alone, **CLOSE)


def test_captions_of_one_clip_do_not_read_each_other():
    transformer = tiny_transformer(**WIDE, understanding_attention="isolated")
    (question,) = questions(transformer, 1)
    states = list(drafts(transformer, 3))
    together = answer(transformer, [question] * 3, states)
    for state, logits in zip(states, together, strict=True):
        (alone,) = answer(transformer, [question], [state])
        torch.testing.assert_close(logits, alone, **CLOSE)
