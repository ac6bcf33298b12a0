"""What a result has to tell of savings that may have changed it."""

from __future__ import annotations

from contract.requests import Approximation
from model import UniViGUPipeline
from model.feature_cache import FeatureCache
from model.fp8 import has_fp8


def of_video(pipeline: UniViGUPipeline, features: FeatureCache | None) -> list[Approximation]:
    """Return those of a finished video, with what the job's feature cache has counted."""
    if features is None:
        return _of_model(pipeline)
    own = Approximation(
        name="feature_cache",
        setting=features.threshold,
        reused=features.num_reused,
        of=features.num_passes,
    )
    return [own, *_of_model(pipeline)]


def of_caption(
    pipeline: UniViGUPipeline, interval: int | None, num_reused: int, num_steps: int
) -> list[Approximation]:
    """Return those of a finished caption, whose steps did not all look at the video."""
    if interval is None:
        return _of_model(pipeline)
    own = Approximation(name="video_refresh", setting=interval, reused=num_reused, of=num_steps)
    return [own, *_of_model(pipeline)]


def _of_model(pipeline: UniViGUPipeline) -> list[Approximation]:
    return [Approximation(name="fp8_linears")] if has_fp8(pipeline.transformer.blocks) else []
