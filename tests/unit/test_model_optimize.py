"""Each switch of `optimize` leaves the results within rounding, and does what it says."""

import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry
from tiny_models import clip, inputs, tiny_pipeline

from model.optimize import optimize

CLOSE = {"atol": 1e-5, "rtol": 0}
PROMPT = "a red circle moving left"
OPTIONS = {"num_inference_steps": 2, "height": 32, "num_frames": 5}

SWITCHES = [
    {"fuse_projections": True},
    {"attention_backend": "_native_math"},
    {"compiler": "eager", "fuse_projections": True, "attention_backend": "native"},
]


@pytest.fixture(autouse=True)
def _no_gradients():
    before, _ = _AttentionBackendRegistry.get_active_backend()
    with torch.inference_mode(), torch._dynamo.config.patch(recompile_limit=8):
        yield
    torch.compiler.reset()
    _AttentionBackendRegistry.set_active_backend(before)  # the choice holds for the whole process


def tuned(**switches):
    pipeline = tiny_pipeline(understanding_attention="isolated")
    optimize(pipeline, **switches)
    return pipeline


def assert_close(one, other):
    arguments = inputs(one.transformer)
    for mine, theirs in zip(
        one.transformer(**arguments), other.transformer(**arguments), strict=True
    ):
        torch.testing.assert_close(mine, theirs, **CLOSE)
    *_, mine = one.generate_steps(PROMPT, width=32, guidance_scale=3.0, seed=0, **OPTIONS)
    *_, theirs = other.generate_steps(PROMPT, width=32, guidance_scale=3.0, seed=0, **OPTIONS)
    torch.testing.assert_close(mine.latents, theirs.latents, **CLOSE)
    assert torch.equal(mine.token_ids, theirs.token_ids)
    for mine, theirs in zip(*(p.decode_latents(mine.latents) for p in (one, other)), strict=True):
        assert abs(mine.astype(int) - theirs.astype(int)).max() <= 1
    assert one.understand(clip(), seed=0) == other.understand(clip(), seed=0)


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda switches: "+".join(switches))
def test_optimized_results_agree_to_rounding(switches):
    assert_close(tuned(**switches), tuned())


@pytest.mark.slow
def test_results_of_the_real_compiler_agree_to_rounding():
    assert_close(tuned(compiler="inductor", fuse_projections=True), tuned())


def test_without_a_switch_nothing_changes():
    arguments = inputs(tiny_pipeline().transformer)
    plain = tiny_pipeline(understanding_attention="isolated").transformer(**arguments)
    assert all(
        torch.equal(one, other)
        for one, other in zip(tuned().transformer(**arguments), plain, strict=True)
    )


def calls(module):
    """Return a list that grows by every call of `module`."""
    seen = []
    module.register_forward_pre_hook(lambda *_: seen.append(None))
    return seen


def test_fused_projections_replace_three_products_by_one():
    transformer = tuned(fuse_projections=True).transformer
    attention = transformer.blocks[0].attn1
    fused, apart = calls(attention.to_qkv), calls(attention.to_q)
    transformer(**inputs(transformer))
    assert fused
    assert not apart


def test_attention_backend_reaches_every_attention():
    transformer = tuned(attention_backend="_native_math").transformer
    chosen = {
        attention.processor._attention_backend.value
        for block in transformer.blocks
        for attention in (block.attn1, block.attn2)
    }
    assert chosen == {"_native_math"}


def test_compiled_block_is_compiled_once_for_all_blocks_and_steps():
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    pipeline = tuned(compiler=count)
    list(pipeline.generate_steps(PROMPT, width=32, guidance_scale=1.0, seed=0, **OPTIONS))
    assert len(graphs) == 1


def test_unknown_attention_backend_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"attention_backend 'warp': must be one of .*native"):
        tuned(attention_backend="warp")
