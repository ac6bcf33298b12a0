"""The Uni-ViGU training loss: flow matching on video, cross-entropy on caption ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.schedule import TIMESTEPS
from model.text_flow import EmbeddingFlow
from model.training.data import Batch
from model.training.stage import Stage
from model.transformer import UniViGUTransformer


def losses(
    transformer: UniViGUTransformer,
    batch: Batch,
    stage: Stage,
    pad_id: int,
    *,
    whole: Batch | None = None,
    forward: Callable[..., Any] | None = None,
) -> dict[str, Tensor]:
    """Return the scalar losses `video`, `text` (where there are captions) and `total`.

    `video` is the mean squared error of the velocity over the samples whose video is noisy, and
    `text` the mean cross-entropy of the clean ids over all positions of the samples whose text is
    noisy: clean text earns nothing, since copying it is no skill. Both are means over tokens;
    total = video + text_weight x text.

    Args:
        transformer: the network.
        batch: what it is shown.
        stage: weighs text and padding.
        pad_id: of the caption tokenizer.
        whole: the batch that `batch` has rows of; the losses are then the share of these rows, and
            the shares of all rows add up to the losses of the whole.
        forward: called in the network's place, where that is wrapped.

    Source: Uni-ViGU section 3.3. The paper's lambda_t = |z_v| / |z_t| on sums over tokens is the
    same balance as weight 1 on these means, up to a common factor.
    """
    whole = whole or batch
    captions = {}
    if batch.caption is not None and batch.text_sigma is not None:
        captions = {
            **_caption_inputs(transformer, batch),
            "caption_timestep": TIMESTEPS * batch.text_sigma,
            "caption_mask": batch.caption_mask,
            "isolate_video": batch.isolate,
        }
    velocity, logits = (forward or transformer)(
        batch.latents, TIMESTEPS * batch.video_sigma, batch.condition, **captions
    )
    errors = (velocity.float() - batch.velocity).square().mean(dim=(1, 2, 3, 4))
    result = {"video": _weighted_mean(errors, batch.video_weight, whole.video_weight)}
    result["total"] = result["video"]
    if logits is not None and batch.target is not None:
        entropy = F.cross_entropy(logits.float().transpose(1, 2), batch.target, reduction="none")
        weights = [_token_weights(part, stage, pad_id) for part in (batch, whole)]
        result["text"] = _weighted_mean(entropy, *weights)
        result["total"] = result["total"] + stage.text_weight * result["text"]
    return result


def _caption_inputs(transformer: UniViGUTransformer, batch: Batch) -> dict[str, Tensor]:
    assert batch.caption is not None
    if not batch.caption.is_floating_point():
        return {"caption_ids": batch.caption}
    assert batch.target is not None
    assert batch.text_sigma is not None
    flow = EmbeddingFlow(transformer.caption_embedding.weight, batch.target.shape[1])
    return {"caption_embeds": flow.corrupt(batch.target, batch.caption, batch.text_sigma)}


def _token_weights(batch: Batch, stage: Stage, pad_id: int) -> Tensor:
    assert batch.target is not None
    assert batch.text_weight is not None
    weights = torch.where(batch.target == pad_id, stage.pad_weight, 1.0)  # [B, L]
    return weights * batch.text_weight[:, None]


def _weighted_mean(values: Tensor, weight: Tensor, whole_weight: Tensor) -> Tensor:
    return (values * weight).sum() / whole_weight.sum().clamp_min(1e-6).to(values.device)
