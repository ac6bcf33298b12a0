"""The network without its captions is Wan2.1: the proof that its weights can be reused."""

from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file
from tiny_models import CAPTIONS, WIDTHS, inputs, without_caption

from model import UniViGUTransformer

RELEASED = Path(__file__).parents[1] / "data" / "released-tiny"


def random_wan(**config):
    torch.manual_seed(3)
    wan = WanTransformer3DModel(**(WIDTHS | config)).eval()
    for parameter in wan.parameters():  # biases and norms too, whose defaults would hide a swap
        torch.nn.init.normal_(parameter, std=0.2)
    return wan


def released_wan():
    return WanTransformer3DModel.from_pretrained(RELEASED / "wan" / "transformer").eval()


def grafted(wan):
    """Return our network on `wan`'s weights; whatever is not Wan's keeps random values."""
    names = set(WIDTHS) | {"patch_size", "cross_attn_norm", "eps"}
    config = {name: wan.config[name] for name in names}
    torch.manual_seed(4)
    ours = UniViGUTransformer(**(config | CAPTIONS)).eval()
    missing, unexpected = ours.load_state_dict(wan.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith(("caption_", "text_")) or "ffn_text" in name for name in missing)
    return ours


WANS = {
    "released-tiny": released_wan,
    "random": random_wan,
    "patch 2x1x3, 3 heads x 16": lambda: random_wan(
        patch_size=(2, 1, 3), num_attention_heads=3, attention_head_dim=16, num_layers=3
    ),
    "no cross-attention norm": lambda: random_wan(cross_attn_norm=False),
}


@pytest.fixture(params=WANS.values(), ids=WANS.keys())
def wan(request):
    return request.param()


def wan_velocity(wan, arguments):
    return wan(**without_caption(arguments), return_dict=False)[0]


@torch.inference_mode()
def test_without_captions_it_equals_diffusers_wan(wan):
    ours = grafted(wan)
    arguments = inputs(ours)
    velocity, logits = ours(**without_caption(arguments))
    assert logits is None
    torch.testing.assert_close(velocity, wan_velocity(wan, arguments), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_with_every_text_key_masked_it_equals_diffusers_wan(wan):
    ours = grafted(wan)
    arguments = inputs(ours)
    nothing_seen = torch.zeros_like(arguments["caption_ids"], dtype=torch.bool)
    velocity, _ = ours(**arguments, caption_mask=nothing_seen)
    torch.testing.assert_close(velocity, wan_velocity(wan, arguments), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_with_text_keys_seen_it_differs_from_wan(wan):
    ours = grafted(wan)
    arguments = inputs(ours)
    assert (ours(**arguments)[0] - wan_velocity(wan, arguments)).abs().max() > 1e-3


@torch.inference_mode()
def test_released_stock_wan_velocity_is_reproduced():
    ours = grafted(released_wan())
    io = load_file(RELEASED / "io.safetensors")
    velocity, _ = ours(io["x_v"], io["time_v"], io["cond"])
    torch.testing.assert_close(velocity, io["stock_wan_velocity"], atol=1e-5, rtol=0)
