"""Clips and prompts as the networks see them, computed once and kept on disk.

What a file is called says what it was made of: the content of the clip or prompt, the shape, and
the weights that coded it. So nothing stale is ever read, and runs can share a folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, UMT5EncoderModel

from model.checkpoint import fingerprint
from model.latents import encode_pixels, from_uint8
from model.text import encode_condition
from model.training.clip_file import decode_clip


@dataclass(frozen=True)
class ClipShape:
    """What every clip of a run is brought to, in frames and pixels."""

    num_frames: int
    height: int
    width: int


class ClipCache:
    """Codes clips and prompts with a checkpoint's own autoencoder and text encoder.

    Either is loaded when something is not in the cache, and only then.

    Args:
        folder: of all caches.
        checkpoint: whose `vae`, `text_encoder` and `tokenizer` code.
        shape: of the clips.
        condition_length: positions of a prompt's states.
        device: where the coding is done.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: Path,
        shape: ClipShape,
        condition_length: int,
        device: torch.device,
    ) -> None:
        parts = ("vae", "text_encoder", "tokenizer")
        self._folder = folder / fingerprint(checkpoint, parts)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._checkpoint, self._shape = checkpoint, shape
        self._length, self._device = condition_length, device

    def add_clip(self, content: bytes) -> Path:
        """Return the file of a clip's latents (C, F, H, W) bf16, made if there is none.

        Raises:
            ValueError: if the clip cannot be used.
        """
        shape = self._shape
        name = f"{_digest(content)}-{shape.num_frames}x{shape.height}x{shape.width}"
        path = self._folder / f"{name}.safetensors"
        if not path.exists():
            frames = decode_clip(content, shape.num_frames, shape.height, shape.width)
            with torch.inference_mode():
                latents = encode_pixels(self._vae, from_uint8(frames[None]).to(self._device))
            _save(path, latents[0].to("cpu", torch.bfloat16))
        return path

    def add_text(self, text: str, field: str = "prompt") -> Path:
        """Return the file of a text's states (tokens, text_dim), made if there is none.

        Raises:
            PromptTooLong: naming `field`, if the text encoder does not take as many tokens.
        """
        path = self._folder / f"text-{_digest(text.encode())}-{self._length}.safetensors"
        if not path.exists():
            tokenizer, encoder = self._text
            with torch.inference_mode():
                states = encode_condition(encoder, tokenizer, [text], self._length, field)[0]
            _save(path, states[: len(tokenizer(text).input_ids)].cpu())
        return path

    @cached_property
    def _vae(self) -> AutoencoderKLWan:
        vae = AutoencoderKLWan.from_pretrained(self._checkpoint / "vae", torch_dtype=torch.float32)
        return vae.to(self._device).eval()

    @cached_property
    def _text(self) -> tuple[PreTrainedTokenizerBase, UMT5EncoderModel]:
        encoder = UMT5EncoderModel.from_pretrained(self._checkpoint / "text_encoder")
        tokenizer = AutoTokenizer.from_pretrained(self._checkpoint / "tokenizer")
        return tokenizer, encoder.to(self._device).eval()


class CachedLatents:
    """Latents of clips by number, read when they are asked for.

    Args:
        files: of `ClipCache.add_clip`.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __getitem__(self, numbers: list[int]) -> Tensor:
        return torch.stack([_load(self._files[number]) for number in numbers])


class CachedConditions:
    """States (c, text_dim) of texts, zero behind each text's end.

    Args:
        files: of `ClipCache.add_text`, by text.
        length: c.
    """

    def __init__(self, files: dict[str, Path], length: int) -> None:
        self._files, self._length = files, length

    def __getitem__(self, text: str) -> Tensor:
        states = _load(self._files[text]).float()
        padded: Tensor = torch.nn.functional.pad(states, (0, 0, 0, self._length - len(states)))
        return padded


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _save(path: Path, value: Tensor) -> None:
    partial = path.with_suffix(f".{uuid4().hex}.partial")  # other processes may make the same
    save_file({"value": value.contiguous()}, partial)
    partial.replace(path)


def _load(path: Path) -> Tensor:
    return load_file(path)["value"]
