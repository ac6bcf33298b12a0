"""Many requests through one forward pass, each drawing from its own seed as it would alone.

The service gives results that are the same to the bit, one request per forward; here a row may
differ from that by rounding, which makes an evaluation of hundreds of clips affordable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model import latents
from model.denoisers import Question, answer, guided
from model.evaluation.checker import Frames
from model.pipeline import Generated, UniViGUPipeline
from model.rowwise import RowwiseFlow, generators_of, noisy_captions
from model.sampler import JointState, Mode, Step, sample_steps
from model.text import caption_ids
from model.text_flow import text_flow_of
from model.transformer import UniViGUTransformer
from model.understanding import Understanding


@dataclass(frozen=True)
class Knobs:
    """How to sample; None stands for the checkpoint's own value."""

    num_inference_steps: int | None = None
    understand_steps: int | None = None
    guidance_scale: float | None = None
    batch_size: int = 16


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

    def settings(self) -> dict[str, float]:
        """Return what results depend on beside checkpoint and seed."""
        return {
            "num_inference_steps": self._steps,
            "understand_steps": self._understand_steps,
            "guidance_scale": self._guidance,
        }

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
                assert last.token_ids is not None
                captions = [self._pipeline.decode_caption(row) for row in last.token_ids]
            yield from map(Generated, frames, captions)

    @torch.inference_mode()
    def understand(
        self,
        clips: Sequence[Frames],
        seeds: Sequence[int],
        instructions: Sequence[str] | None = None,
    ) -> Iterator[str]:
        """Yield the caption of every clip (F, H, W, 3), or its answer to an instruction."""
        for rows in self._batches(len(clips)):
            asked = [None] * len(clips[rows]) if instructions is None else instructions[rows]
            captions = [
                self._pipeline.begin_understanding(
                    clip,
                    instruction=question,
                    num_inference_steps=self._understand_steps,
                    seed=seed,
                )
                for clip, seed, question in zip(clips[rows], seeds[rows], asked, strict=True)
            ]
            for last in self._finished(captions):
                assert last.token_ids is not None
                yield self._pipeline.decode_caption(last.token_ids)

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
        tokenizer = pipeline.caption_coder
        for rows in self._batches(len(clips)):
            ids = caption_ids(tokenizer, list(captions[rows]), length).to(pipeline.device)
            looked_at = [
                pipeline.begin_understanding(clip, num_inference_steps=1, seed=seed)
                for clip, seed in zip(clips[rows], seeds[rows], strict=True)
            ]
            words = ids != tokenizer.pad_token_id
            shares = []
            for sigma in sigmas:
                drafts = noisy_captions(text_flow_of(pipeline.transformer), ids, sigma, seeds[rows])
                states = [JointState(None, draft, 0.0, sigma) for draft in drafts.split(1)]
                logits = _answers(pipeline.transformer, looked_at, states)
                right = (logits.argmax(-1) == ids) & words
                shares.append(right.sum(1) / words.sum(1))
            yield from torch.stack(shares, 1).tolist()

    @torch.inference_mode()
    def reconstruct(self, clips: Sequence[Frames]) -> Iterator[Frames]:
        """Yield what the autoencoder makes of every clip."""
        for rows in self._batches(len(clips)):
            frames = torch.as_tensor(np.stack(clips[rows])).to(self._pipeline.device)
            coded = latents.encode_pixels(self._pipeline.vae, latents.from_uint8(frames))
            chunks = latents.decode_chunks(self._pipeline.vae, coded)
            yield from np.concatenate([latents.to_uint8(c).cpu().numpy() for c in chunks], axis=1)

    def _batches(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self._batch_size):
            yield slice(start, min(count, start + self._batch_size))

    def _denoise(self, prompts: Sequence[str], seeds: Sequence[int], mode: str) -> Step:
        pipeline = self._pipeline
        shape = pipeline.latent_shape(self.height, self.width, self.num_frames)
        condition = torch.cat([pipeline.encode_condition(prompt) for prompt in prompts])
        # the order of the draws is that of a single request: video noise, then caption noise
        generators = generators_of(seeds)
        noise = torch.cat([torch.randn(shape, generator=own) for own in generators])
        flow = RowwiseFlow(text_flow_of(pipeline.transformer), generators)
        is_joint = mode == Mode.JOINT
        caption = None
        if is_joint:
            caption = flow.noise(len(generators), generators[0]).to(condition.device)
        denoise = guided(
            pipeline.transformer,
            condition,
            guidance_scale=self._guidance,
            guidance_above=pipeline.config.serving["guidance_above"],
            noise_caption=caption,
            encode_draft=pipeline.encode_draft,
        )
        *_, last = sample_steps(
            JointState(noise.to(condition.device), caption),
            denoise,
            video_sigmas=pipeline.video_sigmas(self._steps),
            text_sigmas=pipeline.draft_sigmas(self._steps) if is_joint else None,
            generator=generators[0],
            text_flow=flow,
            rereads=pipeline.config.serving["rereads_caption"],
        )
        return last

    def _finished(self, captions: Sequence[Understanding]) -> list[Step]:
        if captions[0].group is None and len(captions) > 1:
            return [step for one in captions for step in self._finished([one])]
        while not captions[0].is_done:
            steps = self._pipeline.advance(captions)
        return steps


def _answers(
    transformer: UniViGUTransformer, captions: Sequence[Understanding], states: list[JointState]
) -> Tensor:
    """Return the logits (B, L, V) of drafts about clips that were looked at."""
    questions = [one.network for one in captions if isinstance(one.network, Question)]
    if questions:
        return torch.cat(answer(transformer, questions, states))
    networks = [one.network for one in captions if not isinstance(one.network, Question)]
    found = [network(state)[1] for network, state in zip(networks, states, strict=True)]
    return torch.cat([logits for logits in found if logits is not None])
