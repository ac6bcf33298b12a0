"""Clips that the network is making itself, as rows to learn from.

A sampler feeds a network what it made, not what was drawn: where it went astray, it is asked about
clips that training never showed it, and errors add up. Where the best answer to any noisy clip can
be had, such clips can be shown, too.

Source: Ross et al., "A Reduction of Imitation Learning and Structured Prediction to No-Regret
Online Learning" (2011), with answers in an expert's place.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Generator, Tensor

from model.denoisers import guided
from model.rowwise import RowwiseFlow, generators_of
from model.sampler import JointState, Sampling
from model.schedule import draft_sigmas, sigma_grid
from model.text_flow import text_flow_of
from model.training.data import Batch, BatchMaker, Subject, draw_samples
from model.training.stage import Stage
from model.training.training_run import TrainingRun
from model.transformer import UniViGUTransformer

#: given noisy rows, their prompts and generators, returns the velocities and caption ids to learn
Answers = Callable[[Batch, Sequence[str | None], Sequence[Generator]], tuple[Tensor, Tensor]]

#: steps of a clip, fewer than it is served with: neighbours teach much the same
NUM_STEPS = (8, 24)
#: noise level below which rows weigh less: what leads back from an error grows as it falls
_FULL_WEIGHT_ABOVE = 0.25
#: noise level of the video below which its caption is learnt, unless that is there to be copied;
#: above, there would be many
_CAPTION_BELOW = 0.9
#: one of how many rows is shown as guidance shows it to its other branch, without prompt or words
_ALONE_EVERY = 3


@dataclass(frozen=True)
class Serving:
    """How the finished network will be asked, which is how it asks itself here."""

    video_shift: float
    text_shift: float
    #: see `model.parts.CheckpointParts`
    draft_above: float
    #: the largest; smaller ones are used as well
    guidance_scale: float
    #: see `model.denoisers.guided`
    guidance_above: float
    #: see `model.sampler.Sampling`
    rereads: bool


@dataclass(frozen=True)
class _Clips:
    """Clips on their way, this process's of those of the run."""

    numbers: range
    sampling: Sampling
    prompts: list[str | None]
    condition: Tensor  # [B, c, text_dim]
    noise_caption: Tensor
    generators: list[Generator]
    guidance_scale: float


class Rollouts:
    """Clips in the making, one step of the sampler for every step of the training.

    They begin anew at every save, so that a resumed run need not know them.

    Args:
        transformer: as it is being trained.
        subjects: whose prompts are used.
        batches: of them.
        stage: says how much of a prompt is left out, and which rows of a batch are replaced.
        run: the run.
        answers: the best there are.
        serving: how the network is asked.
    """

    def __init__(
        self,
        transformer: UniViGUTransformer,
        subjects: Sequence[Subject],
        batches: BatchMaker,
        stage: Stage,
        run: TrainingRun,
        answers: Answers,
        serving: Serving,
    ) -> None:
        self._transformer, self._subjects, self._batches = transformer, subjects, batches
        self._every = stage.rollout_every
        self._stage = replace(stage, mixture={"joint": 1.0}, condition_dropout=0.0, short_share=0.0)
        self._run, self._answers, self._serving = run, answers, serving
        self.restart(0)

    def restart(self, step: int) -> None:
        """Begin anew, in the same way whenever a step is reached."""
        self._rng = random.Random(f"{self._run.seed} {step}")
        self._clips: _Clips | None = None

    def weighed(self, whole: Batch) -> Batch:
        """Return a whole batch with the weights that rows have once they are replaced."""
        places = torch.arange(0, len(whole.latents), self._every)
        weights: dict[str, Any] = {
            name: _put(getattr(whole, name), places, torch.ones(len(places)))
            for name in ("video_weight", "text_weight")
        }
        return replace(whole, **weights)

    def into(self, batch: Batch, rows: slice) -> Batch:
        """Return a batch some rows of which are clips in the making, and move these on.

        A batch without captions is returned as it is.

        Args:
            batch: this process's rows of a batch of whole clips.
            rows: which of the batch they are.
        """
        numbers = range(-(-rows.start // self._every), -(-rows.stop // self._every))
        if batch.caption is None or not numbers:
            return batch
        if self._clips is None or self._clips.sampling.is_done:
            self._clips = self._begun(numbers, batch.latents.device)
        shown = self._shown(self._clips)
        places = torch.tensor([number * self._every - rows.start for number in numbers])
        changed: dict[str, Any] = {
            field.name: _put(getattr(batch, field.name), places, getattr(shown, field.name))
            for field in fields(batch)
        }
        return replace(batch, **changed)

    def _shown(self, clips: _Clips) -> Batch:
        """Return where clips are, as rows to learn from, and move them on."""
        state = clips.sampling.state
        assert state.latents is not None
        assert state.caption is not None
        is_guided = state.video_sigma > self._serving.guidance_above
        turn = clips.sampling.index
        alone = [is_guided and (i + turn) % _ALONE_EVERY == 0 for i in clips.numbers]
        unseen = [state.has_clean_caption or no for no in alone]
        prompts = [None if no else text for text, no in zip(clips.prompts, unseen, strict=True)]
        here = torch.tensor(alone, device=state.latents.device)
        null = self._transformer.null_embeds(clips.condition)
        asked = self._asked(clips)
        ones = torch.ones(len(here), device=here.device)
        weight = min(1.0, (state.video_sigma / _FULL_WEIGHT_ABOVE) ** 2)
        is_read = (here | (state.text_sigma > 0)) & (state.video_sigma < _CAPTION_BELOW)
        shown = Batch(
            state.latents,
            torch.zeros_like(state.latents),  # until there is an answer
            state.video_sigma * ones,
            weight * ones,
            torch.where(here[:, None, None], null, asked),
            caption=torch.where(here[:, None], clips.noise_caption, state.caption),
            text_sigma=torch.where(here, 1.0, state.text_sigma),
            text_weight=ones * is_read,
            isolate=torch.zeros_like(here),
            caption_mask=torch.ones_like(state.caption, dtype=torch.bool),
        )
        self._move_on(clips, asked)
        on_cpu = shown.rows(slice(None), torch.device("cpu"))
        velocity, target = self._answers(on_cpu, prompts, clips.generators)
        return replace(shown, velocity=velocity, target=target)

    def _begun(self, numbers: range, device: torch.device) -> _Clips:
        count = self._run.batch_size // self._every + 1
        samples, _ = draw_samples(self._rng, self._subjects, self._stage, count)
        samples = [samples[number] for number in numbers]
        seeds = [self._rng.getrandbits(31) for _ in range(count)]
        generators = generators_of([seeds[number] for number in numbers])
        steps = self._rng.randint(*NUM_STEPS)
        guidance_scale = self._rng.uniform(1.0, self._serving.guidance_scale)
        drawn = self._batches.make(samples, self._stage, torch.Generator())  # for its words alone
        flow = RowwiseFlow(text_flow_of(self._transformer), generators)
        noise = [torch.randn(drawn.latents.shape[1:], generator=own) for own in generators]
        caption = flow.noise(len(samples), generators[0]).to(device)
        video_sigmas = sigma_grid(steps, self._serving.video_shift)
        sampling = Sampling(
            JointState(torch.stack(noise).to(device), caption),
            video_sigmas=video_sigmas,
            text_sigmas=draft_sigmas(
                video_sigmas, self._serving.draft_above, self._serving.text_shift
            ),
            generator=generators[0],
            text_flow=flow,
            rereads=self._serving.rereads,
        )
        prompts = [sample.condition for sample in samples]
        condition = drawn.condition.to(device)
        return _Clips(numbers, sampling, prompts, condition, caption, generators, guidance_scale)

    def _asked(self, clips: _Clips) -> Tensor:
        """Return the condition (B, c, text_dim) of the next step, as `guided` would choose it."""
        state = clips.sampling.state
        if not state.has_clean_caption:
            return clips.condition
        assert state.caption is not None
        return self._batches.conditions_of(state.caption).to(clips.condition)

    @torch.no_grad()
    def _move_on(self, clips: _Clips, condition: Tensor) -> None:
        denoise = guided(
            self._transformer,
            condition,
            guidance_scale=clips.guidance_scale,
            guidance_above=self._serving.guidance_above,
            noise_caption=clips.noise_caption,
        )
        with self._run.precision(condition.device):
            velocity, logits = denoise(clips.sampling.state)
        assert velocity is not None
        clips.sampling.advance(velocity.float(), None if logits is None else logits.float())


def _put(values: Tensor | None, places: Tensor, new: Tensor | None) -> Tensor | None:
    if values is None or new is None:
        return values
    values = values.clone()
    values[places] = new.to(values)
    return values
