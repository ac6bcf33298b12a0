"""8-bit linear layers: how far they may be off, and where they are refused.

The products run here on the CPU's own 8-bit kernel; only that they are fast needs a GPU.
"""

import pytest
import torch
from tiny_models import clip, inputs, seeded, tiny_pipeline, tiny_transformer
from torch import nn

from model.fp8 import Fp8Linear, quantize_linears, quantize_rows
from model.optimize import optimize

#: half a step of three mantissa bits
ROUNDING = 2**-4


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def linear(bias=True):
    torch.manual_seed(0)
    return nn.Linear(64, 48, bias=bias)


def error(found, exact):
    return float((found - exact).norm() / exact.norm())


def test_each_value_comes_back_within_half_a_step():
    values = torch.randn(32, 64, generator=seeded()) * torch.logspace(-6, 6, 32)[:, None]
    codes, scale = quantize_rows(values)
    back = codes.float() * scale
    normal = values.abs() > values.abs().amax(1, keepdim=True) * 2**-14
    assert normal.float().mean() > 0.99
    assert ((back - values).abs() <= ROUNDING * values.abs() + 1e-12)[normal].all()


def test_the_largest_of_a_row_keeps_its_value_and_rows_do_not_share_a_scale():
    values = torch.randn(8, 64, generator=seeded())
    values[3] *= 1e4
    codes, scale = quantize_rows(values)
    at = values.abs().argmax(1, keepdim=True)
    back = (codes.float() * scale).gather(1, at)
    torch.testing.assert_close(back, values.gather(1, at), rtol=1e-6, atol=0)
    alone, own_scale = quantize_rows(values[:1])
    assert torch.equal(codes[:1].float(), alone.float())
    assert torch.equal(scale[:1], own_scale)


def test_row_of_zeros_stays_zeros():
    codes, scale = quantize_rows(torch.zeros(2, 16))
    assert torch.equal(codes.float() * scale, torch.zeros(2, 16))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_product_is_that_of_the_rounded_weights_and_activations(dtype, bias):
    plain = linear(bias).to(dtype)
    states = torch.randn(2, 5, 64, generator=seeded()).to(dtype)
    codes, scale = quantize_rows(plain.weight)
    tokens, token_scale = quantize_rows(states)
    expected = (tokens.float() * token_scale) @ (codes.float() * scale).t()
    if bias:
        expected = expected + plain.bias
    found = Fp8Linear(plain)(states)
    assert (found.dtype, found.shape) == (dtype, (2, 5, 48))
    rounding = 1e-6 if dtype == torch.float32 else 5e-3
    assert error(found.float(), expected.float()) < rounding
    assert error(found.float(), plain(states).float()) < ROUNDING


def test_weights_take_half_of_what_16_bits_take():
    plain = linear().to(torch.bfloat16)
    assert Fp8Linear(plain).weight.nbytes * 2 == plain.weight.nbytes


def test_every_linear_layer_of_the_blocks_is_replaced_and_the_ends_are_not():
    transformer = tiny_transformer()
    before = {name for name, one in transformer.named_modules() if isinstance(one, nn.Linear)}
    quantize_linears(transformer.blocks)
    after = {name for name, one in transformer.named_modules() if isinstance(one, nn.Linear)}
    replaced = {name for name, one in transformer.named_modules() if isinstance(one, Fp8Linear)}
    assert replaced == before - after
    assert {name for name in before if name.startswith("blocks.")} == replaced


@pytest.mark.parametrize("fused", [False, True])
def test_outputs_of_the_network_stay_close(fused):
    exact, rounded = tiny_transformer(), tiny_transformer()
    if fused:
        rounded.fuse_qkv_projections()
    quantize_linears(rounded.blocks)
    given = inputs(exact)
    for found, expected in zip(rounded(**given), exact(**given), strict=True):
        assert 0 < error(found, expected) < 0.1


def test_a_pipeline_in_8_bits_generates_and_understands():
    pipeline = tiny_pipeline(understanding_attention="isolated")
    quantize_linears(pipeline.transformer.blocks)
    assert pipeline.generate("a red circle", seed=0).frames.shape == (5, 32, 32, 3)
    assert isinstance(pipeline.understand(clip(), seed=0), str)


def test_compiled_blocks_take_8_bits():
    pipeline = tiny_pipeline()
    quantize_linears(pipeline.transformer.blocks)
    given = inputs(pipeline.transformer)
    expected = pipeline.transformer(**given)
    optimize(pipeline, compiler="eager")
    for found, plain in zip(pipeline.transformer(**given), expected, strict=True):
        torch.testing.assert_close(found, plain, atol=1e-5, rtol=0)
    torch.compiler.reset()


def test_device_without_8_bit_products_is_refused():
    pipeline = tiny_pipeline()
    with pytest.raises(ValueError, match=r"fp8_linears: device cpu is no GPU; needed: .* 8\.9"):
        optimize(pipeline, fp8_linears=True)
    assert not any(isinstance(one, Fp8Linear) for one in pipeline.transformer.modules())


def test_layer_that_matrix_units_do_not_take_is_refused_by_name():
    layers = nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 40))
    with pytest.raises(ValueError, match=r"fp8_linears: 1 is 40 x 32; both have to be multiples"):
        quantize_linears(layers)
    assert isinstance(layers[0], nn.Linear)
