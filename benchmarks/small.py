"""Networks of the demo's layout with random weights, and diffusers' network on the same ones."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import Generator, Tensor

from model.presets import PRESETS
from model.transformer import UniViGUTransformer

#: two thirds of the demo in every direction, so that all ratios take minutes on two cores, and with
#: Wan's own patches and positions, which diffusers' network has
SMALLER = {
    "num_attention_heads": 4,
    "ffn_dim": 512,
    "num_layers": 4,
    "patch_size": (1, 2, 2),
    "rope_angles": None,
}


def seeded(seed: int) -> Generator:
    """Return a CPU generator."""
    return Generator().manual_seed(seed)


def new_transformer(**config: Any) -> UniViGUTransformer:
    """Return a network of fixed weights: the demo preset made smaller, changed by `config`."""
    torch.manual_seed(0)
    transformer: UniViGUTransformer = UniViGUTransformer(**(PRESETS["demo"] | SMALLER | config))
    transformer.eval()
    torch.nn.init.normal_(transformer.text_proj_out.weight, std=0.1)  # zero when new
    return transformer


def wan_twin(transformer: UniViGUTransformer) -> WanTransformer3DModel:
    """Return diffusers' Wan network on the very same weights, where and in what they are."""
    taken = signature(WanTransformer3DModel.__init__).parameters
    config = {name: value for name, value in transformer.config.items() if name in taken}
    with transformer.device:
        wan = WanTransformer3DModel(**config).eval()
    weights = transformer.state_dict()
    wan.load_state_dict({name: weights[name] for name in wan.state_dict()}, assign=True)
    return wan


def new_latents(transformer: UniViGUTransformer, num_tokens: int, seed: int = 1) -> Tensor:
    """Return noise (1, C, F, 32, 32) that makes so many video tokens, 256 per latent frame."""
    shape = (1, transformer.config.in_channels, num_tokens // 256, 32, 32)
    return torch.randn(shape, generator=seeded(seed))


def new_condition(transformer: UniViGUTransformer, seed: int = 2) -> Tensor:
    """Return random states (1, c, text_dim) of a prompt."""
    config = transformer.config
    shape = (1, config.condition_length, config.text_dim)
    return torch.randn(shape, generator=seeded(seed))


def new_ids(transformer: UniViGUTransformer, seed: int = 3) -> Tensor:
    """Return a random caption (1, L)."""
    config = transformer.config
    shape = (1, config.caption_length)
    return torch.randint(config.caption_vocab_size, shape, generator=seeded(seed))
