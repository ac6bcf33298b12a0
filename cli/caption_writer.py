"""Detailed captions by a language model, held to a length and corrected where need be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cli.chat_endpoint import ChatEndpoint, Message
from cli.checkpoint import require_checkpoint
from cli.items import BadOption, ItemFailed

#: what the model is told unless the user says otherwise
INSTRUCTION = (
    "You write captions for training a video model. From a short prompt, write one detailed "
    "caption of the video that it describes: the subjects, what they look like, what they do over "
    "time, the setting, the light and the camera. Contradict nothing in the prompt. Answer with "
    "the caption alone, as one paragraph."
)
#: how often the model may correct a caption of the wrong length
_CORRECTIONS = 2


class Lengths:
    """What a caption must be like to be learned.

    Args:
        min_words: fewest words.
        max_words: most words.
        checkpoint: whose caption tokenizer must know every word and have room for them all.

    Raises:
        BadOption: if the limits leave nothing, or the folder is no checkpoint.
    """

    def __init__(self, min_words: int, max_words: int, checkpoint: Path | None = None) -> None:
        if min_words > max_words:
            raise BadOption(f"--min-words {min_words}: is more than --max-words {max_words}")
        self._min, self._max = min_words, max_words
        self._check_tokens = _token_check(checkpoint) if checkpoint else None

    def __str__(self) -> str:
        """Say it to the model."""
        return f"Write {self._min} to {self._max} words."

    def check(self, caption: str) -> None:
        """Refuse a caption that cannot be learned.

        Raises:
            ValueError: saying how long it is and what is allowed.
        """
        count = len(caption.split())
        if not self._min <= count <= self._max:
            raise ValueError(f"caption has {count} words; allowed: {self._min} to {self._max}")
        if self._check_tokens:
            self._check_tokens(caption)


class CaptionWriter:
    """Writes captions, any number at a time.

    Args:
        endpoint: the language model.
        lengths: what a caption must be like.
        instruction: what to write; None for `INSTRUCTION`.
    """

    def __init__(
        self, endpoint: ChatEndpoint, lengths: Lengths, instruction: str | None = None
    ) -> None:
        self._endpoint, self._lengths = endpoint, lengths
        self._told = f"{instruction or INSTRUCTION} {lengths}"

    async def write(self, prompt: str) -> str:
        """Return a caption for a prompt.

        Raises:
            ItemFailed: if the model gives none that can be learned.
            BadOption: if the endpoint refuses every request.
        """
        messages: list[Message] = [
            {"role": "system", "content": self._told},
            {"role": "user", "content": prompt},
        ]
        for _ in range(1 + _CORRECTIONS):
            caption = await self._endpoint.ask(messages)
            try:
                self._lengths.check(caption)
            except ValueError as error:
                reason = str(error)
            else:
                return caption
            messages.append({"role": "assistant", "content": caption})
            messages.append({"role": "user", "content": f"{reason}. Write it again."})
        raise ItemFailed(f"{reason}, after {_CORRECTIONS} corrections", is_final=False)


def _token_check(checkpoint: Path) -> Callable[[str], None]:
    require_checkpoint(checkpoint)
    from transformers import AutoTokenizer

    from model.text import caption_ids

    try:
        index = json.loads((checkpoint / "model_index.json").read_text())
        has_own = index.get("caption_tokenizer", [None])[0] is not None
        folder = checkpoint / ("caption_tokenizer" if has_own else "tokenizer")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        config = json.loads((checkpoint / "transformer" / "config.json").read_text())
        length = config["caption_length"]
    except (OSError, ValueError, KeyError) as error:
        raise BadOption(f"checkpoint {checkpoint}: {error}") from error

    def check(caption: str) -> None:
        ids = caption_ids(tokenizer, [caption], length)
        if tokenizer.unk_token_id is not None and (ids == tokenizer.unk_token_id).any():
            raise ValueError("caption has words that the checkpoint's tokenizer does not know")

    return check
