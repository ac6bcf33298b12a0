"""The small frozen parts of a demo checkpoint: word tokenizer and random text encoder."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"


def new_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """Return a lower-casing word tokenizer that appends `</s>`; ids 0, 1, 2 are pad, eos, unk."""
    vocab = {word: index for index, word in enumerate([PAD, EOS, UNK, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=UNK))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, vocab[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        clean_up_tokenization_spaces=False,
    )


def new_text_encoder(vocab_size: int, seed: int = 0) -> UMT5EncoderModel:
    """Return a one-layer UMT5 encoder with random weights, 128 wide.

    It stays frozen: random features of a word vocabulary keep the words apart, and the
    transformer's own projection learns what they mean.
    """
    torch.manual_seed(seed)
    config = UMT5Config(
        vocab_size=vocab_size,
        d_model=128,
        d_kv=32,
        d_ff=128,
        num_layers=1,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    return UMT5EncoderModel(config).eval().requires_grad_(False)
