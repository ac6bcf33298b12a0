"""The network as the sampler sees it: guided for making videos, cached for understanding them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.condition import Condition
from model.sampler import Denoise, JointState
from model.schedule import TIMESTEPS
from model.transformer import Outputs, UniViGUTransformer, VideoCache


def _timestep(sigma: float, like: Tensor) -> Tensor:
    return torch.full((like.shape[0],), TIMESTEPS * sigma, dtype=torch.float32, device=like.device)


def _caption_inputs(draft: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return ids and embeddings as the network takes them; a draft is one of the two."""
    if draft is not None and draft.is_floating_point():
        return None, draft
    return draft, None


def guided(
    transformer: UniViGUTransformer,
    condition: Tensor,
    *,
    guidance_scale: float,
    noise_caption: Tensor | None,
) -> Denoise:
    """Return the network with classifier-free guidance on the video.

    Args:
        transformer: the network.
        condition: (B, c, text_dim) states of the prompt.
        guidance_scale: w in v_u + w (v_c - v_u); 1 runs the conditional branch alone.
        noise_caption: (B, L) ids, or (B, L, d) embeddings, at full noise: the caption stream of the
            unconditional branch, which would not be unconditional if it still read the prompt or
            the draft there. None where the mode has no caption stream.
    """
    prompt, null = transformer.prepare_condition(condition), transformer.prepare_null(condition)

    def run(
        state: JointState,
        given: Condition,
        draft: Tensor | None,
        text_sigma: float,
        outputs: Outputs,
    ) -> tuple[Tensor, Tensor | None]:
        assert state.latents is not None
        latents = state.latents
        ids, embeds = _caption_inputs(draft)
        velocity, logits = transformer(
            latents.to(condition.dtype),
            _timestep(state.video_sigma, latents),
            given,
            ids,
            None if draft is None else _timestep(text_sigma, latents),
            caption_embeds=embeds,
            outputs=outputs,
        )
        return velocity.float(), logits

    def without_captions(state: JointState) -> tuple[Tensor, Tensor]:
        assert state.latents is not None
        time = _timestep(state.video_sigma, state.latents)
        both = transformer.branches(state.latents.to(condition.dtype), time, (prompt, null))
        return both[0].float(), both[1].float()

    def denoise(state: JointState) -> tuple[Tensor, Tensor | None]:
        logits = None
        if guidance_scale != 1 and state.caption is None:
            velocity, unconditional = without_captions(state)
        else:
            needed: Outputs = "both" if state.text_sigma else "velocity"
            velocity, logits = run(state, prompt, state.caption, state.text_sigma, needed)
            if guidance_scale == 1:
                return velocity, logits
            unconditional, _ = run(state, null, noise_caption, 1.0, "velocity")
        return unconditional + guidance_scale * (velocity - unconditional), logits

    return denoise


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
    return transformer.cache_video(clean, _timestep(0.0, clean), like)


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
        _timestep(state.text_sigma, draft) for state, draft in zip(states, drafts, strict=True)
    ]
    ids, embeds = _caption_inputs(torch.cat(drafts))
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
    transformer: UniViGUTransformer, latents: Tensor, condition: Tensor, *, isolate: bool
) -> Denoise:
    """Return the network for a given video with a whole forward per step.

    Needed by `bidirectional` checkpoints, whose video stream reads the caption draft; with
    `isolate` it is the reference that `isolated_understanding` must equal.
    """
    clean = latents.to(condition.dtype)
    flags = torch.full((clean.shape[0],), isolate, device=clean.device) if isolate else None

    def denoise(state: JointState) -> tuple[None, Tensor | None]:
        ids, embeds = _caption_inputs(state.caption)
        _, logits = transformer(
            clean,
            _timestep(0.0, clean),
            condition,
            ids,
            _timestep(state.text_sigma, clean),
            caption_embeds=embeds,
            isolate_video=flags,
            outputs="logits",
        )
        return None, logits

    return denoise
