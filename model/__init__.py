"""Uni-ViGU: the joint video and caption diffusion model and its sampling."""

from model.pipeline import Generated, UniViGUPipeline
from model.sampler import Mode, Step
from model.text import PromptTooLong
from model.transformer import UniViGUTransformer

__all__ = [
    "Generated",
    "Mode",
    "PromptTooLong",
    "Step",
    "UniViGUPipeline",
    "UniViGUTransformer",
]
