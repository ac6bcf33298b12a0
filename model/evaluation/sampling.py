"""Many requests through one forward pass, each drawing from its own seed as it would alone.

The service gives results that are the same to the bit, one request per forward; here a row may
differ from that by rounding, which makes an evaluation of hundreds of clips affordable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from model import denoisers, latents
from model.evaluation.checker import Frames
from model.flow import corrupt_text
from model.pipeline import Generated, UniViGUPipeline
from model.sampler import Denoise, JointState, Mode, Step, sample_steps
from model.schedule import sigma_grid
from model.text import caption_ids
from model.text_flow import EmbeddingFlow, TextFlow, text_flow_of


@dataclass(frozen=True)
class Knobs:
    """How to sample; None stands for the checkpoint's own value."""

    num_inference_steps: int | None = None
    understand_steps: int | None = None
    guidance_scale: float | None = None
    batch_size: int = 16


class RowwiseFlow:
    """A text flow in which every row draws from its own generator.

    Args:
        flow: how captions move.
        generators: one CPU generator per row.
    """

    def __init__(self, flow: TextFlow, generators: Sequence[Generator]) -> None:
        self._flow, self._generators = flow, generators

    def noise(self, batch: int, generator: Generator) -> Tensor:
        """See `TextFlow`."""
        return torch.cat([self._flow.noise(1, own) for own in self._generators])

    def clean(self, ids: Tensor) -> Tensor:
        """See `TextFlow`."""
        return self._flow.clean(ids)

    def step(
        self, draft: Tensor, logits: Tensor, sigma: float, sigma_next: float, generator: Generator
    ) -> Tensor:
        """See `TextFlow`."""
        rows = zip(draft.split(1), logits.split(1), self._generators, strict=True)
        return torch.cat(
            [self._flow.step(old, seen, sigma, sigma_next, own) for old, seen, own in rows]
        )

    def read(self, draft: Tensor) -> Tensor:
        """See `TextFlow`."""
        return self._flow.read(draft)


class BatchSampler:
    """Generates and captions clips of a checkpoint's own size, batch by batch.

    Args:
        pipeline: the checkpoint.
        knobs: how to sample.
    """

    def __init__(self, pipeline: UniViGUPipeline, knobs: Knobs) -> None:
        serving = pipeline.config.serving
        self._pipeline, self._batch_size = pipeline, knobs.batch_size
        self._steps = knobs.num_inference_steps or serving["num_inference_steps"]
        self._understand_steps = knobs.understand_steps or serving["understand_steps"]
        guidance = knobs.guidance_scale
        self._guidance = serving["guidance_scale"] if guidance is None else guidance
        self.height, self.width = serving["sizes"][0]
        self.num_frames, self.fps = int(serving["num_frames"]), int(serving["fps"])

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[str], seeds: Sequence[int], mode: str = Mode.JOINT
    ) -> Iterator[Generated]:
        """Yield the clip, and in `joint` mode the caption, of every prompt with its seed.

        Raises:
            PromptTooLong: for a prompt that the text encoder does not take.
        """
        for rows in self._batches(len(prompts)):
            last = self._denoise(prompts[rows], seeds[rows], mode)
            assert last.latents is not None
            chunks = latents.decode_chunks(self._pipeline.vae, last.latents)
            frames = np.concatenate([latents.to_uint8(chunk).cpu().numpy() for chunk in chunks], 1)
            captions: Sequence[str | None] = [None] * len(frames)
            if mode == Mode.JOINT:
                captions = self._texts(last)
            yield from map(Generated, frames, captions)

    @torch.inference_mode()
    def understand(
        self,
        clips: Sequence[Frames],
        seeds: Sequence[int],
        instructions: Sequence[str] | None = None,
    ) -> Iterator[str]:
        """Yield the caption of every clip (F, H, W, 3), or its answer to an instruction."""
        sigmas = self._pipeline._text_sigmas(self._understand_steps)
        for rows in self._batches(len(clips)):
            generators = _generators(seeds[rows])
            flow = RowwiseFlow(text_flow_of(self._pipeline.transformer), generators)
            noise = flow.noise(len(generators), generators[0]).to(self._pipeline.device)
            asked = None if instructions is None else instructions[rows]
            *_, last = sample_steps(
                JointState(None, noise),
                self._understanding(clips[rows], asked),
                video_sigmas=None,
                text_sigmas=sigmas,
                generator=generators[0],
                text_flow=flow,
            )
            yield from self._texts(last)

    @torch.inference_mode()
    def recover_tokens(
        self,
        clips: Sequence[Frames],
        captions: Sequence[str],
        seeds: Sequence[int],
        sigmas: Sequence[float],
    ) -> Iterator[list[float]]:
        """Yield, per clip, the shares of its caption's tokens that one look at a noisy draft gets.

        Args:
            clips: (F, H, W, 3) each.
            captions: what is true of them.
            seeds: of the noise.
            sigmas: noise levels of the drafts, in [0, 1].

        Yields:
            One share in [0, 1] per level, over the words and the end of the caption, without its
            padding.
        """
        pipeline = self._pipeline
        length = pipeline.transformer.config.caption_length
        tokenizer = pipeline._caption_tokenizer
        for rows in self._batches(len(clips)):
            ids = caption_ids(tokenizer, list(captions[rows]), length).to(pipeline.device)
            denoise = self._understanding(clips[rows], None)
            words = ids != tokenizer.pad_token_id
            shares = []
            for sigma in sigmas:
                draft = _noisy(text_flow_of(pipeline.transformer), ids, sigma, seeds[rows])
                _, logits = denoise(JointState(None, draft, 0.0, sigma))
                assert logits is not None
                right = (logits.argmax(-1) == ids) & words
                shares.append(right.sum(1) / words.sum(1))
            yield from torch.stack(shares, 1).tolist()

    @torch.inference_mode()
    def reconstruct(self, clips: Sequence[Frames]) -> Iterator[Frames]:
        """Yield what the autoencoder makes of every clip."""
        for rows in self._batches(len(clips)):
            coded = self._encode(clips[rows])
            chunks = latents.decode_chunks(self._pipeline.vae, coded)
            yield from np.concatenate([latents.to_uint8(c).cpu().numpy() for c in chunks], axis=1)

    def _batches(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self._batch_size):
            yield slice(start, min(count, start + self._batch_size))

    def _denoise(self, prompts: Sequence[str], seeds: Sequence[int], mode: str) -> Step:
        pipeline = self._pipeline
        shape = pipeline._latent_shape(self.height, self.width, self.num_frames)
        condition = torch.cat([pipeline.encode_condition(prompt) for prompt in prompts])
        # the order of the draws is that of a single request: video noise, then caption noise
        generators = _generators(seeds)
        noise = torch.cat([torch.randn(shape, generator=own) for own in generators])
        flow = RowwiseFlow(text_flow_of(pipeline.transformer), generators)
        is_joint = mode == Mode.JOINT
        caption = None
        if is_joint:
            caption = flow.noise(len(generators), generators[0]).to(condition.device)
        denoise = denoisers.guided(
            pipeline.transformer,
            condition,
            guidance_scale=self._guidance,
            noise_caption=caption,
        )
        *_, last = sample_steps(
            JointState(noise.to(condition.device), caption),
            denoise,
            video_sigmas=sigma_grid(self._steps, pipeline._video_shift),
            text_sigmas=pipeline._text_sigmas(self._steps) if is_joint else None,
            generator=generators[0],
            text_flow=flow,
        )
        return last

    def _encode(self, clips: Sequence[Frames]) -> Tensor:
        frames = torch.as_tensor(np.stack(clips)).to(self._pipeline.device)
        return latents.encode_pixels(self._pipeline.vae, latents.from_uint8(frames))

    def _understanding(
        self, clips: Sequence[Frames], instructions: Sequence[str] | None
    ) -> Denoise:
        transformer, encode = self._pipeline.transformer, self._pipeline.encode_condition
        clean = self._encode(clips)
        if instructions is None:
            null = transformer.null_embeds(self._pipeline._no_condition())
            condition = null.expand(len(clips), -1, -1)
        else:
            condition = torch.cat([encode(text, "instruction") for text in instructions])
        if transformer.config.understanding_attention == "isolated":
            return denoisers.isolated_understanding(transformer, clean, condition)
        return denoisers.full_understanding(transformer, clean, condition, isolate=False)

    def _texts(self, last: Step) -> list[str]:
        assert last.token_ids is not None
        return [self._pipeline.decode_caption(row) for row in last.token_ids]


def _generators(seeds: Sequence[int]) -> list[Generator]:
    return [Generator().manual_seed(seed) for seed in seeds]


def _noisy(flow: TextFlow, ids: Tensor, sigma: float, seeds: Sequence[int]) -> Tensor:
    generators = _generators(seeds)
    noise = RowwiseFlow(flow, generators).noise(len(ids), generators[0]).to(ids.device)
    levels = torch.full((len(ids),), sigma, device=ids.device)
    if isinstance(flow, EmbeddingFlow):
        return flow.corrupt(ids, noise, levels)
    uniforms = torch.cat([torch.rand(1, ids.shape[1], generator=own) for own in generators])
    return corrupt_text(ids, noise, levels, uniforms.to(ids.device))
