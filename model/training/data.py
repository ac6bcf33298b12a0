"""Batches of clips and their words: cached latents and texts, mixed as a stage asks.

The clips are the Moving Shapes world's, or anything that says as much of itself as a `Subject`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from model.flow import corrupt_text, corrupt_video, source_ids
from model.schedule import shift_sigma
from model.text import caption_ids, decode_caption, encode_condition
from model.training.moving_shapes import NUM_PROMPT_FORMS, QUESTIONS, Scene
from model.training.stage import SampleMode, Stage

#: the prompt whose states are the null condition of a model that has no zeros for it
NULL_PROMPT = ""
#: noise on the clean latents that understanding reads: what an encoder and H.264 add
UNDERSTAND_NOISE = 0.1
#: among samples without condition, how often the caption is at full noise too: the state in which
#: guidance asks for the unconditional velocity
FULL_NOISE_SHARE = 0.5


class Subject(Protocol):
    """What there is to say about a clip; a `Scene` can also be asked questions."""

    def prompt(self, form: int) -> str:
        """Return one wording of the prompt, 0 <= form < `NUM_PROMPT_FORMS`."""

    def open_prompt(self, kept: list[str]) -> str:
        """Return a prompt that names only some attributes."""

    def caption(self) -> str:
        """Return the detailed caption."""


class ByNumber(Protocol):
    """Clean latents of clips by their numbers: a tensor, or files on disk."""

    def __getitem__(self, numbers: list[int]) -> Tensor: ...


class ByText(Protocol):
    """Condition states (c, text_dim) by text."""

    def __getitem__(self, text: str) -> Tensor: ...


@dataclass(frozen=True)
class Batch:
    """One training batch; every tensor has B rows. Caption fields are None for video only."""

    latents: Tensor  # [B, C, F, H, W] noisy
    velocity: Tensor  # target, noise - clean
    video_sigma: Tensor  # [B]
    video_weight: Tensor  # [B], 0 where the video is given
    condition: Tensor  # [B, c, text_dim]
    #: [B, L] noisy ids; under `text_flow: embedding` the noise [B, L, d] itself, since what it is
    #: mixed with is being trained
    caption: Tensor | None = None
    target: Tensor | None = None  # [B, L] clean ids
    text_sigma: Tensor | None = None  # [B]
    text_weight: Tensor | None = None  # [B], 0 where the text is given
    isolate: Tensor | None = None  # [B] bool, under `isolated` understanding attention only
    caption_mask: Tensor | None = None  # [B, L] bool, keys that may be seen

    def rows(self, rows: slice, device: torch.device) -> Batch:
        """Return some of the rows, on a device."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        some: dict[str, Any] = {
            k: None if v is None else v[rows].to(device) for k, v in values.items()
        }
        return Batch(**some)


class ConditionTable:
    """Condition states of every text seen so far, encoded once."""

    def __init__(
        self, text_encoder: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, length: int
    ) -> None:
        self._encode = partial(encode_condition, text_encoder, tokenizer, length=length)
        self._states: dict[str, Tensor] = {}

    def __getitem__(self, text: str) -> Tensor:
        if text not in self._states:
            with torch.no_grad():
                self._states[text] = self._encode([text])[0]
        return self._states[text]


@dataclass(frozen=True)
class Sample:
    """The words and the mode of one row, before any noise."""

    index: int
    mode: SampleMode
    condition: str | None
    target: str


def draw_samples(
    rng: random.Random, scenes: Sequence[Subject], stage: Stage, batch_size: int
) -> tuple[list[Sample], int | None]:
    """Draw the rows of one batch, their scenes, modes and words, and how much of them it shows.

    Returns:
        The samples, and the latent frames of a batch that shows only the start of its clips, None
        of one that shows all.
    """
    num_frames = None
    if stage.short_share and rng.random() < stage.short_share:
        num_frames = stage.short_frames
        batch_size *= stage.short_factor
    modes = list(stage.mixture)
    shares = list(stage.mixture.values())
    (first,) = rng.choices(modes, shares)
    captioned = [(m, s) for m, s in zip(modes, shares, strict=True) if m != "video_only"]
    samples = []
    for _ in range(batch_size):
        mode = first
        if first != "video_only":
            (mode,) = rng.choices([m for m, _ in captioned], [s for _, s in captioned])
        index = rng.randrange(len(scenes))
        samples.append(_words(rng, index, scenes[index], mode, stage))
    return samples, num_frames


def _words(
    rng: random.Random, index: int, scene: Subject, mode: SampleMode, stage: Stage
) -> Sample:
    prompt = scene.prompt(rng.randrange(NUM_PROMPT_FORMS))
    is_open = rng.random() < stage.open_share and mode != "understand"
    if is_open:
        kept = [name for name in ("color", "shape", "motion") if rng.random() < 0.5]
        prompt = scene.open_prompt(kept)
    if stage.detailed_share and mode != "understand" and rng.random() < stage.detailed_share:
        prompt = scene.caption()
    if mode == "understand":
        if rng.random() < stage.question_share:
            assert isinstance(scene, Scene), "only scenes answer questions"
            attribute = rng.choice(list(QUESTIONS))
            return Sample(index, mode, QUESTIONS[attribute], scene.answer(attribute))
        return Sample(index, mode, None, scene.caption() if stage.target == "caption" else prompt)
    detailed = stage.target == "caption" and (is_open or mode != "text_to_video")
    target = scene.caption() if detailed else prompt
    dropped = rng.random() < stage.condition_dropout
    return Sample(index, mode, None if dropped else prompt, target)


class BatchMaker:
    """Turns samples into noisy tensors.

    Args:
        latents: clean latents (n, C, F, H, W) of n clips by their numbers.
        conditions: states of prompts and questions, and of `NULL_PROMPT` where it is the null.
        tokenizer: of the captions.
        config: of the transformer, which says how captions, null and attention are trained.
    """

    def __init__(
        self,
        latents: ByNumber,
        conditions: ByText,
        tokenizer: PreTrainedTokenizerBase,
        config: Mapping[str, Any],
    ) -> None:
        self._latents = latents
        self._conditions = conditions
        self._tokenizer = tokenizer
        self._config = config
        self._pad_id = tokenizer.pad_token_id
        self._isolates = config["understanding_attention"] == "isolated"
        self._null = torch.zeros(config["condition_length"], config["text_dim"])
        if config["null_condition"] == "empty_prompt":
            self._null = conditions[NULL_PROMPT]

    def make(
        self,
        samples: list[Sample],
        stage: Stage,
        generator: torch.Generator,
        num_frames: int | None = None,
    ) -> Batch:
        """Add noise to the samples' latents, or the first `num_frames` of them, and captions."""
        count = len(samples)
        understands = torch.tensor([s.mode == "understand" for s in samples])
        clean = self._latents[[s.index for s in samples]].float()
        clean = clean[:, :, :num_frames]
        noise = torch.randn(clean.shape, generator=generator)
        sigma = shift_sigma(torch.rand(count, generator=generator), stage.video_shift)
        sigma = torch.where(understands, 0.0, sigma)
        jitter = UNDERSTAND_NOISE * torch.rand(count, generator=generator) * understands
        latents = corrupt_video(clean, noise, sigma) + jitter.view(-1, 1, 1, 1, 1) * noise
        condition = torch.stack(
            [self._null if s.condition is None else self._conditions[s.condition] for s in samples]
        )
        batch = Batch(latents, noise - clean, sigma, (~understands).float(), condition)
        if samples[0].mode == "video_only":
            return batch
        return self._add_captions(batch, samples, stage, generator)

    def conditions_of(self, token_ids: Tensor) -> Tensor:
        """Return the condition states (B, c, text_dim) of captions (B, L)."""
        texts = [decode_caption(self._tokenizer, row) for row in token_ids]
        return torch.stack([self._conditions[text] for text in texts])

    def _add_captions(
        self, batch: Batch, samples: list[Sample], stage: Stage, generator: torch.Generator
    ) -> Batch:
        count = len(samples)
        given = torch.tensor([s.mode == "text_to_video" for s in samples])
        understands = torch.tensor([s.mode == "understand" for s in samples])
        dropped = torch.tensor([s.condition is None for s in samples]) & ~understands
        sigma = torch.rand(count, generator=generator)
        sigma = torch.where(understands, shift_sigma(sigma, stage.understand_shift), sigma)
        sigma = torch.where(given, 0.0, sigma)
        at_noise = dropped & (torch.rand(count, generator=generator) < FULL_NOISE_SHARE)
        sigma = torch.where(at_noise, 1.0, sigma)
        length = self._config["caption_length"]
        target = caption_ids(self._tokenizer, [s.target for s in samples], length)
        return replace(
            batch,
            caption=self._noisy(target, sigma, generator),
            target=target,
            text_sigma=sigma,
            text_weight=(~given).float(),
            isolate=understands if self._isolates else None,
            # a given prompt has no padding to look at; a caption's padding is part of it
            caption_mask=~(given[:, None] & (target == self._pad_id)),
        )

    def _noisy(self, target: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
        config = self._config
        if config["text_flow"] == "embedding":
            width = config["num_attention_heads"] * config["attention_head_dim"]
            return torch.randn(*target.shape, width, generator=generator)
        shape, vocab_size = tuple(target.shape), config["caption_vocab_size"]
        source = source_ids(shape, vocab_size, config["text_flow"], generator)
        uniforms = torch.rand(target.shape, generator=generator)
        return corrupt_text(target, source, sigma, uniforms)
