"""Token ids and condition states for prompts, captions and instructions.

Prompts go through the frozen text encoder; captions are ids that the transformer itself denoises.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


class PromptTooLong(ValueError):
    """A prompt, instruction or caption has more tokens than fit."""

    def __init__(self, field: str, count: int, limit: int) -> None:
        super().__init__(f"{field} has {count} tokens; the model takes at most {limit}")
        self.field = field


def encode_condition(
    text_encoder: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    length: int,
    field: str = "prompt",
) -> Tensor:
    """Return condition states, zero behind each prompt's true length.

    Args:
        text_encoder: a `UMT5EncoderModel`.
        tokenizer: its tokenizer, which appends the end-of-sequence token.
        texts: B prompts or instructions.
        length: c, positions of the result.
        field: what to call the text in an error.

    Returns:
        (B, c, text_dim), in the encoder's dtype.

    Raises:
        PromptTooLong: if a text has more than `length` tokens.

    Source: diffusers' `WanPipeline` (states trimmed to the true length, then zero-padded).
    """
    batches = [tokenizer(text).input_ids for text in texts]
    for ids in batches:
        if len(ids) > length:
            raise PromptTooLong(field, len(ids), length)
    width = max(len(ids) for ids in batches)
    rows = [ids + [tokenizer.pad_token_id] * (width - len(ids)) for ids in batches]
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in batches])
    device = next(text_encoder.parameters()).device
    mask = mask.to(device)
    states = text_encoder(torch.tensor(rows, device=device), mask).last_hidden_state
    states = states * mask[..., None].to(states.dtype)
    padded: Tensor = torch.nn.functional.pad(states, (0, 0, 0, length - width))
    return padded


def caption_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], length: int) -> Tensor:
    """Return (B, L) int64 ids of captions, ended and right-padded.

    Raises:
        PromptTooLong: if a caption does not fit into `length` tokens.
    """
    rows = []
    for text in texts:
        ids = tokenizer(text).input_ids
        if len(ids) > length:
            raise PromptTooLong("caption", len(ids), length)
        rows.append(ids + [tokenizer.pad_token_id] * (length - len(ids)))
    return torch.tensor(rows)


def decode_caption(tokenizer: PreTrainedTokenizerBase, ids: Tensor) -> str:
    """Return the text of one caption (L,), cut at its first end-of-sequence token."""
    row = ids.tolist()
    if tokenizer.eos_token_id in row:
        row = row[: row.index(tokenizer.eos_token_id)]
    row = [token for token in row if token < len(tokenizer)]
    text: str = tokenizer.decode(row, skip_special_tokens=True)
    return text.strip()
