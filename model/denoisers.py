"""The network as the sampler sees it: guided for making videos, cached for understanding them."""

from __future__ import annotations

import torch
from torch import Tensor

from model.sampler import Denoise, JointState
from model.schedule import TIMESTEPS
from model.transformer import UniViGUTransformer


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
    null = transformer.null_embeds(condition).expand_as(condition)

    def run(
        state: JointState, states: Tensor, draft: Tensor | None, text_sigma: float
    ) -> tuple[Tensor, Tensor | None]:
        assert state.latents is not None
        latents = state.latents
        ids, embeds = _caption_inputs(draft)
        velocity, logits = transformer(
            latents.to(condition.dtype),
            _timestep(state.video_sigma, latents),
            states,
            ids,
            None if draft is None else _timestep(text_sigma, latents),
            caption_embeds=embeds,
        )
        return velocity.float(), logits

    def denoise(state: JointState) -> tuple[Tensor, Tensor | None]:
        velocity, logits = run(state, condition, state.caption, state.text_sigma)
        if guidance_scale == 1:
            return velocity, logits
        unconditional, _ = run(state, null, noise_caption, 1.0)
        return unconditional + guidance_scale * (velocity - unconditional), logits

    return denoise


def isolated_understanding(
    transformer: UniViGUTransformer, latents: Tensor, condition: Tensor
) -> Denoise:
    """Return the network for a given video whose keys and values are computed once.

    Exact for checkpoints trained with `understanding_attention: isolated`: there the video
    stream depends on the clip alone, so every step runs text tokens only.
    """
    clean = latents.to(condition.dtype)
    cache = transformer.cache_video(clean, _timestep(0.0, clean), condition)

    def denoise(state: JointState) -> tuple[None, Tensor]:
        ids, embeds = _caption_inputs(state.caption)
        time = _timestep(state.text_sigma, clean)
        logits = transformer.denoise_text(cache, condition, ids, time, caption_embeds=embeds)
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
        )
        return None, logits

    return denoise
