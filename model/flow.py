"""Uni-flow: the paths, targets and steps of both modalities, as equations on tensors.

Video moves continuously from Gaussian noise to latents; text moves by jumps from random ids to the
caption, or continuously between embeddings. sigma is the noise level of either, 1 = noise,
0 = clean. No network is known here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

#: least noise level that a velocity is divided by: near 0 a small error of the prediction would
#: become a large velocity
MIN_SIGMA = 0.05

#: ids whose probabilities are summed before a draw looks at each: about the root of a vocabulary,
#: and a divisor of many
_CHUNK = 128
_BELOW_ONE = 1 - torch.finfo(torch.float64).eps / 2


def corrupt_video(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Return latents on the straight path: (1 - sigma) clean + sigma noise.

    Args:
        clean: (B, C, F, H, W) normalised latents.
        noise: same shape, standard normal.
        sigma: (B,) in [0, 1].

    Source: Uni-ViGU eq. 6 with tau = 1 - sigma.
    """
    return _straight(clean, noise, sigma)


def corrupt_embeds(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Return caption embeddings (B, L, d) on the straight path, as `corrupt_video` does latents.

    Source: Uni-ViGU section 3, text flow as its prose has it.
    """
    return _straight(clean, noise, sigma)


def _straight(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    level = sigma.view(-1, *[1] * (clean.ndim - 1))
    return (1 - level) * clean + level * noise


def euler_step(latents: Tensor, velocity: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """Move noisy video latents one step down the noise scale.

    Args:
        latents: (B, C, F, H, W) float32, at noise level `sigma`.
        velocity: same shape; d latents / d sigma, i.e. noise - clean.
        sigma: current noise level in (0, 1].
        sigma_next: next level, 0 <= sigma_next < sigma.

    Returns:
        (B, C, F, H, W) float32, at `sigma_next`.

    Source: Uni-ViGU section 3, video flow, with tau = 1 - sigma.
    """
    return latents + (sigma_next - sigma) * velocity


def predicted_clean(latents: Tensor, velocity: Tensor, sigma: float) -> Tensor:
    """Return where the straight path through `latents` ends: latents - sigma velocity."""
    return euler_step(latents, velocity, sigma, 0.0)


def source_ids(
    shape: tuple[int, ...], vocab_size: int, text_flow: str, generator: Generator | None = None
) -> Tensor:
    """Return caption ids at full noise, int64.

    Uniform over 0..vocab_size-1, or, under `discrete_mask`, the mask id `vocab_size` everywhere.
    """
    if text_flow == "discrete_mask":
        return torch.full(shape, vocab_size)
    return torch.randint(vocab_size, shape, generator=generator)


def corrupt_text(clean: Tensor, source: Tensor, sigma: Tensor, uniforms: Tensor) -> Tensor:
    """Return ids on the mixture path: each position is still noise with probability sigma.

    Args:
        clean: (B, L) int64 caption ids.
        source: (B, L) int64 ids at full noise.
        sigma: (B,) in [0, 1].
        uniforms: (B, L) float in [0, 1), one draw per position.

    Source: Gat et al. 2024, mixture path with kappa(tau) = tau.
    """
    return torch.where(uniforms < sigma[:, None], source, clean)


def jump_probability(sigma: float, sigma_next: float) -> float:
    """Return the chance that a token is redrawn between two noise levels: 1 - sigma'/sigma.

    A token still at noise at sigma is still at noise at sigma' with probability sigma'/sigma,
    so that the corruption stays on the path whatever the grid; the last step redraws all.
    """
    return 1 - sigma_next / sigma


def text_step(
    ids: Tensor, logits: Tensor, sigma: float, sigma_next: float, generator: Generator
) -> Tensor:
    """Redraw caption tokens from the predicted clean distribution.

    Which tokens move is drawn first, and only for those a new id, by `draw_ids`; or the most
    likely id in the step that ends at sigma 0, where a draw could only add noise to a finished
    caption.

    Args:
        ids: (B, L) int64 at noise level `sigma`.
        logits: (B, L, V) of the clean caption.
        sigma: current level in (0, 1].
        sigma_next: next level, 0 <= sigma_next < sigma.
        generator: CPU generator of the request that the ids belong to.

    Returns:
        (B, L) int64 at `sigma_next`.

    Source: Gat et al. 2024, Euler step of the mixture path; rate from `jump_probability`.
    """
    if sigma_next == 0:
        return logits.argmax(dim=-1)
    moved = torch.rand(ids.shape, generator=generator) < jump_probability(sigma, sigma_next)
    at = tuple(index.to(ids.device) for index in moved.nonzero(as_tuple=True))
    uniforms = torch.rand(len(at[0]), generator=generator, dtype=torch.float64)
    result = ids.clone()
    result[at] = draw_ids(logits[at], uniforms.to(ids.device))
    return result


def draw_ids(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Return where the distribution function of softmax(logits) passes each uniform.

    A running sum of 256k probabilities in float32 would lose the small ones. This one runs over
    chunks and then inside of one, in float64, while only a sum of few neighbours is float32.

    Args:
        logits: (M, V), each row with a finite one; -inf is never drawn.
        uniforms: (M,) float64 in [0, 1).

    Returns:
        (M,) int64.
    """
    scores = logits.float()
    scores = F.pad(scores, (0, -scores.shape[-1] % _CHUNK), value=-torch.inf)
    weights = (scores - scores.amax(-1, keepdim=True)).exp_().unflatten(-1, (-1, _CHUNK))
    chunk, rest = _passed(weights.sum(-1), uniforms)
    inside, _ = _passed(weights[torch.arange(len(chunk), device=chunk.device), chunk], rest)
    return chunk * _CHUNK + inside


def _passed(weights: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of weights (M, N) a uniform falls on, and how far into it, in [0, 1).

    It never falls on a weight of 0, whatever a device's running sums round to.
    """
    weights = weights.double()
    sums = weights.cumsum(-1).masked_fill(weights == 0, -torch.inf)
    reached = uniforms * sums.amax(-1)
    index = (sums > reached[:, None]).int().argmax(-1, keepdim=True)
    left = (sums.gather(-1, index)[:, 0] - reached) / weights.gather(-1, index)[:, 0]
    return index[:, 0], (1 - left).clamp(0, _BELOW_ONE)


def embedding_step(
    draft: Tensor, logits: Tensor, rows: Tensor, sigma: float, sigma_next: float
) -> Tensor:
    """Move caption embeddings towards the mean of the predicted clean distribution.

    Args:
        draft: (B, L, d) float32 at noise level `sigma`.
        logits: (B, L, V) of the clean caption.
        rows: (V, d) float32 embeddings of the vocabulary.
        sigma: current level in (0, 1].
        sigma_next: next level, 0 <= sigma_next < sigma.

    Returns:
        (B, L, d) at `sigma_next`; at 0 the row of the most likely id, since a mean of several is
        no word.

    Source: Uni-ViGU section 3, text flow, with x = softmax(logits) E and velocity (z - x) / sigma.
    """
    if sigma_next == 0:
        return rows[logits.argmax(dim=-1)]
    predicted = logits.float().softmax(dim=-1) @ rows
    velocity = (draft - predicted) / max(sigma, MIN_SIGMA)
    return draft + (sigma_next - sigma) * velocity
