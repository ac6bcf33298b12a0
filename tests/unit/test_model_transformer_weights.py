"""Precision, gradients and files of the network."""

import json

import pytest
import torch
from tiny_models import inputs, tiny_transformer

from model import UniViGUTransformer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transformer")
    tiny_transformer(understanding_attention="isolated").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def half(saved):
    return UniViGUTransformer.from_pretrained(saved, dtype=torch.bfloat16)


def settings(transformer):
    """Return the config as its file says it, without diffusers' own entries."""
    config = json.loads(transformer.to_json_string())
    return {name: value for name, value in config.items() if not name.startswith("_")}


@torch.inference_mode()
def test_a_saved_transformer_loads_as_itself(saved):
    original = tiny_transformer(understanding_attention="isolated")
    loaded = UniViGUTransformer.from_pretrained(saved)
    assert settings(loaded) == settings(original)
    for one, two in zip(original(**inputs(original)), loaded(**inputs(loaded)), strict=True):
        assert torch.equal(one, two)


def test_new_captions_start_from_uniform_logits():
    torch.manual_seed(0)
    fresh = UniViGUTransformer(**settings(tiny_transformer()))
    assert not fresh(**inputs(fresh))[1].any()


def test_bf16_load_keeps_both_time_paths_in_float32(half):
    types = {name: parameter.dtype for name, parameter in half.named_parameters()}
    for prefix in ("condition_embedder.time_embedder.", "caption_time_embedder."):
        assert {t for n, t in types.items() if n.startswith(prefix)} == {torch.float32}
    assert types["blocks.0.attn1.to_q.weight"] == torch.bfloat16
    assert types["blocks.0.ffn_text.net.2.weight"] == torch.bfloat16


@torch.inference_mode()
@pytest.mark.parametrize("name", ["timestep", "caption_timestep"])
@pytest.mark.parametrize("cast", [False, True], ids=["loaded in bf16", "cast to bf16"])
def test_neighbouring_timesteps_stay_apart_in_bf16(half, cast, name):
    # bf16 knows only multiples of 4 here: rounded times would make both forwards the same
    model = tiny_transformer().to(torch.bfloat16) if cast else half
    floats = ("hidden_states", "encoder_hidden_states")
    arguments = {
        key: value.to(torch.bfloat16) if key in floats else value
        for key, value in inputs(model).items()
    }
    output = 0 if name == "timestep" else 1
    at_999 = model(**(arguments | {name: torch.full((2,), 999.0)}))[output]
    at_1000 = model(**(arguments | {name: torch.full((2,), 1000.0)}))[output]
    assert at_999.dtype == torch.bfloat16
    assert (at_999 - at_1000).abs().max() > 1e-2


@torch.inference_mode()
def test_bf16_agrees_with_float32_to_its_precision(half, saved):
    full = UniViGUTransformer.from_pretrained(saved)
    arguments = inputs(full)
    floats = ("hidden_states", "encoder_hidden_states")
    halved = arguments | {name: arguments[name].to(torch.bfloat16) for name in floats}
    for one, two in zip(full(**arguments), half(**halved), strict=True):
        assert (one - two).norm() / one.norm() < 0.05


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointed in (False, True):
        transformer = tiny_transformer().train()
        if checkpointed:
            transformer.enable_gradient_checkpointing()
        velocity, logits = transformer(
            **inputs(transformer), isolate_video=torch.tensor([True, False])
        )
        (velocity.square().mean() + logits.square().mean()).backward()
        gradients.append({name: p.grad for name, p in transformer.named_parameters()})
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


def test_gradient_checkpointing_runs_every_block_twice():
    transformer = tiny_transformer().train()
    transformer.enable_gradient_checkpointing()
    runs = []
    transformer.blocks[0].register_forward_pre_hook(lambda *_: runs.append(1))
    transformer(**inputs(transformer))[0].sum().backward()
    assert len(runs) == 2
