"""The network as the sampler sees it: guided for making videos, cached for understanding them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch
from torch import Tensor

from model.cached_video import VideoCache
from model.condition import Condition
from model.feature_cache import FeatureCache, Reuse
from model.sampler import Denoise, JointState
from model.schedule import TIMESTEPS
from model.transformer import Outputs, UniViGUTransformer


def timestep_of(sigma: float, like: Tensor) -> Tensor:
    """Return a noise level as the network takes it, for each row of `like`."""
    return torch.full((like.shape[0],), TIMESTEPS * sigma, dtype=torch.float32, device=like.device)


def caption_inputs(draft: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return ids and embeddings as the network takes them; a draft is one of the two."""
    if draft is not None and draft.is_floating_point():
        return None, draft
    return draft, None


@dataclass(frozen=True)
class _Branch:
    """One of the two that guidance compares."""

    condition: Condition
    reuse: Reuse | None


@dataclass(frozen=True)
class _Guided:
    """See `guided`."""

    transformer: UniViGUTransformer
    prompt: _Branch
    null: _Branch
    guidance_scale: float
    guidance_above: float
    noise_caption: Tensor | None
    #: the branch of a finished draft, None where the prompt keeps its place
    drafted: Callable[[Tensor], _Branch] | None

    def __call__(self, state: JointState) -> tuple[Tensor, Tensor | None]:
        logits = None
        is_guided = self.guidance_scale != 1 and state.video_sigma > self.guidance_above
        if is_guided and state.caption is None:
            velocity, unconditional = self._without_captions(state)
        else:
            needed: Outputs = "both" if state.text_sigma else "velocity"
            velocity, logits = self._run(state, self._asked(state), needed)
            if not is_guided:
                return velocity, logits
            absent = replace(state, caption=self.noise_caption, text_sigma=1.0)
            unconditional, _ = self._run(absent, self.null, "velocity")
        return unconditional + self.guidance_scale * (velocity - unconditional), logits

    def _asked(self, state: JointState) -> _Branch:
        if self.drafted is None or not state.has_clean_caption:
            return self.prompt
        assert state.caption is not None
        return self.drafted(state.caption)

    def _run(
        self, state: JointState, branch: _Branch, outputs: Outputs
    ) -> tuple[Tensor, Tensor | None]:
        latents, draft = _latents(state), state.caption
        ids, embeds = caption_inputs(draft)
        velocity, logits = self.transformer(
            latents.to(branch.condition.dtype),
            timestep_of(state.video_sigma, latents),
            branch.condition,
            ids,
            None if draft is None else timestep_of(state.text_sigma, latents),
            caption_embeds=embeds,
            outputs=outputs,
            reuse=branch.reuse,
        )
        return velocity.float(), logits

    def _without_captions(self, state: JointState) -> tuple[Tensor, Tensor]:
        latents, both = _latents(state), (self.prompt, self.null)
        velocity, unconditional = self.transformer.branches(
            latents.to(self.prompt.condition.dtype),
            timestep_of(state.video_sigma, latents),
            [branch.condition for branch in both],
            [branch.reuse for branch in both],
        )
        return velocity.float(), unconditional.float()


def _latents(state: JointState) -> Tensor:
    assert state.latents is not None
    return state.latents


def guided(
    transformer: UniViGUTransformer,
    condition: Tensor,
    *,
    guidance_scale: float,
    guidance_above: float = 0.0,
    noise_caption: Tensor | None,
    encode_draft: Callable[[Tensor], Tensor] | None = None,
    features: FeatureCache | None = None,
) -> Denoise:
    """Return the network with classifier-free guidance on the video.

    Args:
        transformer: the network.
        condition: (B, c, text_dim) states of the prompt.
        guidance_scale: w in v_u + w (v_c - v_u); 1 runs the conditional branch alone.
        guidance_above: noise level of the video from which down the conditional branch runs alone:
            what is made is decided by then, and w is the factor of both branches' errors. Source:
            Kynkäänniemi et al., "Applying Guidance in a Limited Interval Improves Sample and
            Distribution Quality in Diffusion Models" (2024).
        noise_caption: (B, L) ids, or (B, L, d) embeddings, at full noise: the caption stream of the
            unconditional branch, which would not be unconditional if it still read the prompt or
            the draft there. None where the mode has no caption stream.
        encode_draft: returns the states (B, c, text_dim) of a finished draft, which takes the
            prompt's place while the video is still being made; None where it does not. Condition
            and caption are one text then, which is what Knowledge Recall shows (paper section 3.3).
        features: of the job, where passes may be left out; None runs them all.
    """

    def branch(name: str, prepared: Condition) -> _Branch:
        return _Branch(prepared, None if features is None else partial(features.through, name))

    prepare = transformer.prepare_condition
    prompt = branch("prompt", prepare(condition))
    null = branch("null", transformer.prepare_null(condition))
    drafted = None
    if encode_draft is not None:
        # a clean caption is handed on as it is from step to step
        drafted = lru_cache(1)(lambda draft: branch("draft", prepare(encode_draft(draft))))
    return _Guided(
        transformer, prompt, null, guidance_scale, guidance_above, noise_caption, drafted
    )


@dataclass(frozen=True)
class Question:
    """A clip that was looked at once, and what is asked about it."""

    clip: VideoCache
    condition: Condition


def look_at(transformer: UniViGUTransformer, latents: Tensor) -> VideoCache:
    """Return what a caption needs of clean latents (B, C, F, H, W), for any number of captions."""
    config = transformer.config
    clean = latents.to(transformer.proj_out.weight.dtype)
    like = clean.new_zeros(len(clean), config.condition_length, config.text_dim)
    return transformer.cache_video(clean, timestep_of(0.0, clean), like)


def answer(
    transformer: UniViGUTransformer, questions: Sequence[Question], states: Sequence[JointState]
) -> list[Tensor]:
    """Return the caption logits (B_i, L, V) of several questions from one pass.

    Exact for checkpoints trained with `understanding_attention: isolated`: there the video
    stream depends on the clip alone, so that every step runs text tokens only.

    Args:
        transformer: the network.
        questions: B_i rows each; their conditions are all constant or none.
        states: where their captions are; each has a noise level of its own.
    """
    drafts = [state.caption for state in states if state.caption is not None]
    times = [
        timestep_of(state.text_sigma, draft) for state, draft in zip(states, drafts, strict=True)
    ]
    ids, embeds = caption_inputs(torch.cat(drafts))
    logits = transformer.denoise_text(
        [question.clip for question in questions],
        [question.condition for question in questions],
        ids,
        torch.cat(times),
        caption_embeds=embeds,
    )
    return list(logits.split([len(draft) for draft in drafts]))


def isolated_understanding(
    transformer: UniViGUTransformer, latents: Tensor, condition: Tensor
) -> Denoise:
    """Return the network for a given video whose keys and values are computed once."""
    question = Question(look_at(transformer, latents), transformer.prepare_condition(condition))

    def denoise(state: JointState) -> tuple[None, Tensor]:
        (logits,) = answer(transformer, [question], [state])
        return None, logits

    return denoise


def full_understanding(
    transformer: UniViGUTransformer,
    latents: Tensor,
    condition: Tensor | Condition,
    *,
    isolate: bool,
) -> Denoise:
    """Return the network for a given video with a whole forward per step.

    Needed by `bidirectional` checkpoints, whose video stream reads the caption draft; with
    `isolate` it is the reference that `isolated_understanding` must equal.
    """
    clean = latents.to(condition.dtype)
    flags = torch.full((clean.shape[0],), isolate, device=clean.device) if isolate else None

    def denoise(state: JointState) -> tuple[None, Tensor | None]:
        ids, embeds = caption_inputs(state.caption)
        _, logits = transformer(
            clean,
            timestep_of(0.0, clean),
            condition,
            ids,
            timestep_of(state.text_sigma, clean),
            caption_embeds=embeds,
            isolate_video=flags,
            outputs="logits",
        )
        return None, logits

    return denoise
