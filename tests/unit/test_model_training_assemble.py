"""The demo checkpoint's frozen parts and its folder."""

import json

import pytest
import torch
from safetensors import safe_open

from model import UniViGUPipeline
from model.training.assemble import MOVING_SHAPES_SERVING
from model.training.components import new_text_encoder, new_tokenizer
from model.training.moving_shapes import FPS, NUM_FRAMES, SIDE


def test_a_checkpoint_has_the_layout_of_diffusers(tiny_checkpoint):
    folders = {path.name for path in tiny_checkpoint.iterdir() if path.is_dir()}
    assert folders == {"transformer", "vae", "text_encoder", "tokenizer", "scheduler"}
    index = json.loads((tiny_checkpoint / "model_index.json").read_text())
    assert index["_class_name"] == "UniViGUPipeline"
    assert index["transformer"][1] == "UniViGUTransformer"
    assert index["vae"][1] == "AutoencoderKLWan"


def test_a_checkpoint_s_weights_are_bf16_safetensors(tiny_checkpoint):
    files = sorted(tiny_checkpoint.rglob("*.safetensors"))
    assert len(files) == 3
    for path in files:
        with safe_open(path, "pt") as weights:
            types = {weights.get_slice(name).get_dtype() for name in weights.keys()}
        assert types == {"BF16"}, path.name


def test_a_checkpoint_serves_the_world_that_it_was_trained_on(tiny_checkpoint):
    pipeline = UniViGUPipeline.from_pretrained(tiny_checkpoint, dtype=torch.float32)
    assert pipeline.config.serving == MOVING_SHAPES_SERVING
    assert (pipeline.config.serving["fps"], pipeline.temporal_compression) == (FPS, 4)
    assert pipeline.config.serving["sizes"] == [[SIDE, SIDE]]
    assert pipeline.config.serving["num_frames"] == NUM_FRAMES
    assert pipeline.scheduler.config.shift == 8.0


def test_tokenizer_ends_every_text_and_ignores_case():
    tokenizer = new_tokenizer(["red", "circle", ","])
    assert tokenizer("Red circle").input_ids == [3, 4, 1]
    assert tokenizer("red,circle").input_ids == [3, 5, 4, 1]
    assert tokenizer("").input_ids == [1]


def test_tokenizer_knows_what_it_does_not_know():
    tokenizer = new_tokenizer(["red"])
    assert tokenizer("red whale").input_ids == [3, tokenizer.unk_token_id, 1]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)


def test_text_encoder_is_frozen_and_decided_by_its_seed():
    one, two, other = new_text_encoder(10), new_text_encoder(10), new_text_encoder(10, seed=1)
    assert not any(parameter.requires_grad for parameter in one.parameters())
    ids = torch.tensor([[3, 4, 1]])
    states = [encoder(ids).last_hidden_state for encoder in (one, two, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("pair", [((3, 4), (4, 3)), ((3, 5), (4, 5))])
def test_text_encoder_keeps_words_and_their_order_apart(pair):
    encoder = new_text_encoder(10)
    one, two = (encoder(torch.tensor([[*ids, 1]])).last_hidden_state for ids in pair)
    assert (one - two).abs().max() > 0.1
