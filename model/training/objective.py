"""The Uni-ViGU training loss: flow matching on video, cross-entropy on caption ids."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.schedule import TIMESTEPS
from model.text_flow import EmbeddingFlow
from model.training.data import Batch
from model.training.stage import Stage
from model.transformer import UniViGUTransformer


def losses(
    transformer: UniViGUTransformer, batch: Batch, stage: Stage, pad_id: int
) -> dict[str, Tensor]:
    """Return the scalar losses `video`, `text` (where there are captions) and `total`.

    `video` is the mean squared error of the velocity over the samples whose video is noisy, and
    `text` the mean cross-entropy of the clean ids over all positions of the samples whose text is
    noisy: clean text earns nothing, since copying it is no skill. Both are means over tokens;
    total = video + text_weight x text.

    Source: Uni-ViGU section 3.3. The paper's lambda_t = |z_v| / |z_t| on sums over tokens is the
    same balance as weight 1 on these means, up to a common factor.
    """
    captions = {}
    if batch.caption is not None and batch.text_sigma is not None:
        captions = {
            **_caption_inputs(transformer, batch),
            "caption_timestep": TIMESTEPS * batch.text_sigma,
            "caption_mask": batch.caption_mask,
            "isolate_video": batch.isolate,
        }
    velocity, logits = transformer(
        batch.latents, TIMESTEPS * batch.video_sigma, batch.condition, **captions
    )
    errors = (velocity.float() - batch.velocity).square().mean(dim=(1, 2, 3, 4))
    result = {"video": _weighted_mean(errors, batch.video_weight)}
    result["total"] = result["video"]
    if logits is not None and batch.target is not None and batch.text_weight is not None:
        result["text"] = _text_loss(logits, batch.target, batch.text_weight, stage, pad_id)
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


def _text_loss(
    logits: Tensor, target: Tensor, sample_weight: Tensor, stage: Stage, pad_id: int
) -> Tensor:
    entropy = F.cross_entropy(logits.float().transpose(1, 2), target, reduction="none")  # [B, L]
    weight = torch.where(target == pad_id, stage.pad_weight, 1.0) * sample_weight[:, None]
    return _weighted_mean(entropy, weight)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)
