"""Full-size networks, counted on the meta device where they weigh nothing."""

import math

import pytest
import torch
from diffusers import WanTransformer3DModel

from model import UniViGUTransformer
from model.presets import PRESETS
from model.training.components import new_tokenizer
from model.training.moving_shapes import vocabulary

UMT5_IDS = 256_384


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(
    params=[("wan2.1-1.3b", 1.419e9, 1.631e9), ("wan2.1-14b", 14.29e9, 8.474e9)],
    ids=lambda p: p[0],
    scope="module",
)
def full_size(request):
    name, backbone, text_side = request.param
    with torch.device("meta"):
        ours, wan = UniViGUTransformer(**PRESETS[name]), WanTransformer3DModel(**PRESETS[name])
    return ours, wan, backbone, text_side


def test_backbone_counts_what_wan_counts(full_size):
    _, wan, backbone, _ = full_size
    assert math.isclose(count(wan), backbone, rel_tol=5e-4)


def test_text_side_adds_the_published_parameters(full_size):
    ours, wan, _, text_side = full_size
    assert ours.config.caption_vocab_size == UMT5_IDS
    assert abs(count(ours) - count(wan) - text_side) < 5e5


def test_text_side_is_two_vocabularies_an_expert_per_block_and_a_time_path(full_size):
    ours, wan, _, _ = full_size
    d, hidden = ours.patch_embedding.out_channels, ours.config.ffn_dim
    freq, blocks = ours.config.freq_dim, ours.config.num_layers
    vocabularies = UMT5_IDS * d + UMT5_IDS * d + UMT5_IDS
    experts = blocks * (d * hidden + hidden + hidden * d + d)
    time_path = (freq * d + d) + (d * d + d) + (d * 6 * d + 6 * d)
    head_norm, table = d, 2 * d
    assert count(ours) - count(wan) == vocabularies + experts + time_path + head_norm + table


def test_every_wan_weight_has_the_same_name_and_shape(full_size):
    ours, wan, _, _ = full_size
    shapes = {name: p.shape for name, p in ours.named_parameters()}
    assert {name: p.shape for name, p in wan.named_parameters()}.items() <= shapes.items()


def test_demo_has_an_id_for_every_word_of_its_world():
    assert PRESETS["demo"]["caption_vocab_size"] == len(new_tokenizer(vocabulary()))
