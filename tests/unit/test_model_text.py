"""Prompts to condition states, captions to ids and back."""

import json

import pytest
import torch
from tiny_models import tiny_text_encoder, tiny_tokenizer
from transformers import UMT5EncoderModel

from model import PromptTooLong
from model.text import caption_ids, decode_caption, encode_condition

SHORT, LONG = "a red circle", "a video of a red circle that moves left"
TOKENS = {SHORT: 4, LONG: 10}  # with the end token


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def encoder():
    return tiny_text_encoder()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def test_rows_behind_the_true_length_are_exactly_zero(encoder, tokenizer):
    states = encode_condition(encoder, tokenizer, [SHORT, LONG], 16)
    assert states.shape == (2, 16, 16)
    for row, prompt in zip(states, (SHORT, LONG), strict=True):
        assert not row[TOKENS[prompt] :].any()
        assert row[: TOKENS[prompt]].abs().sum(-1).all()


@pytest.mark.parametrize("neighbour", [SHORT, LONG])
@pytest.mark.parametrize("length", [10, 16, 40])
def test_states_do_not_depend_on_the_padding_that_follows(encoder, tokenizer, neighbour, length):
    alone = encode_condition(encoder, tokenizer, [SHORT], 4)[0]
    padded = encode_condition(encoder, tokenizer, [SHORT, neighbour], length)[0]
    torch.testing.assert_close(padded[:4], alone, atol=1e-6, rtol=0)


def test_states_are_those_of_the_encoder_on_the_bare_prompt(encoder, tokenizer):
    ids = torch.tensor([tokenizer(SHORT).input_ids])
    expected = encoder(ids).last_hidden_state
    states = encode_condition(encoder, tokenizer, [SHORT], 16)
    torch.testing.assert_close(states[:, :4], expected, atol=1e-6, rtol=0)


def test_the_empty_prompt_is_its_end_token(encoder, tokenizer):
    states = encode_condition(encoder, tokenizer, [""], 16)
    assert states[0].abs().sum(-1).nonzero().tolist() == [[0]]


@pytest.mark.parametrize("layer", [0, 1])
def test_every_encoder_layer_has_its_own_position_bias(tokenizer, layer):
    # an encoder that reads the bias of its first layer alone would lose the others'
    encoder = tiny_text_encoder()
    before = encode_condition(encoder, tokenizer, [LONG], 16)
    bias = encoder.encoder.block[layer].layer[0].SelfAttention.relative_attention_bias
    bias.weight.copy_(torch.linspace(-3, 3, bias.weight.numel()).view_as(bias.weight))
    after = encode_condition(encoder, tokenizer, [LONG], 16)
    assert (before - after).abs().max() > 1e-4


def test_a_checkpoint_names_the_umt5_encoder(tiny_checkpoint):
    index = json.loads((tiny_checkpoint / "model_index.json").read_text())
    assert index["text_encoder"] == ["transformers", UMT5EncoderModel.__name__]


def test_a_prompt_of_the_most_tokens_is_taken(encoder, tokenizer):
    assert encode_condition(encoder, tokenizer, [LONG], TOKENS[LONG])[0, -1].any()


def test_a_prompt_over_the_limit_is_refused_with_count_and_limit(encoder, tokenizer):
    message = "^instruction has 10 tokens; the model takes at most 9$"
    with pytest.raises(PromptTooLong, match=message) as refusal:
        encode_condition(encoder, tokenizer, [LONG], 9, "instruction")
    assert refusal.value.field == "instruction"


def test_captions_end_and_are_padded(tokenizer):
    ids = caption_ids(tokenizer, [SHORT, LONG], 12)
    assert ids.dtype == torch.int64
    assert ids.shape == (2, 12)
    assert ids[0, 3:].tolist() == [tokenizer.eos_token_id] + [tokenizer.pad_token_id] * 8


def test_a_caption_over_the_length_is_refused(tokenizer):
    assert caption_ids(tokenizer, [LONG], 10).shape == (1, 10)
    with pytest.raises(PromptTooLong, match=r"caption has 10 tokens; .* at most 9"):
        caption_ids(tokenizer, [LONG], 9)


def test_captions_survive_ids_and_back(tokenizer):
    assert decode_caption(tokenizer, caption_ids(tokenizer, [LONG], 20)[0]) == LONG


def test_a_caption_is_cut_at_its_first_end(tokenizer):
    ids = torch.tensor(tokenizer(SHORT).input_ids + tokenizer(LONG).input_ids)
    assert decode_caption(tokenizer, ids) == SHORT


def test_ids_that_are_no_words_are_left_out(tokenizer):
    ids = torch.tensor([66, *tokenizer(SHORT).input_ids[:-1], 0, 99])
    assert decode_caption(tokenizer, ids) == SHORT
