"""Which weights a run trains: all, the caption stream's own, or those with LoRA on the attention.

The last two leave every Wan weight as it is, so that the generator underneath can be had back.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig

from model.training.stage import SampleMode, Stage
from model.transformer import UniViGUTransformer

TRAINABLE_SETS = ("everything", "text", "text+lora")
#: the projections of self- and cross-attention, which both streams share
LORA_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
_TEXT_PART = re.compile(r"^(caption_|text_)|^blocks\.\d+\.ffn_text\.")


def is_text_part(name: str) -> bool:
    """Return whether a weight is one that captions add to Wan's."""
    return _TEXT_PART.search(name) is not None


def choose_trainable(
    transformer: UniViGUTransformer, trainable: str, *, lora_rank: int, seed: int
) -> None:
    """Freeze what is not in the set, and under `text+lora` add the adapters.

    Args:
        transformer: changed in place.
        trainable: one of `TRAINABLE_SETS`.
        lora_rank: rank and alpha of the adapters, which start as no change at all.
        seed: decides their first weights.

    Raises:
        ValueError: if there is no such set.
    """
    if trainable not in TRAINABLE_SETS:
        raise ValueError(f"trainable {trainable!r}: must be one of {', '.join(TRAINABLE_SETS)}")
    if trainable == "everything":
        return
    if trainable == "text+lora":
        torch.manual_seed(seed)
        transformer.add_adapter(
            LoraConfig(r=lora_rank, lora_alpha=lora_rank, target_modules=LORA_TARGETS)
        )
    for name, parameter in transformer.named_parameters():
        parameter.requires_grad_(is_text_part(name) or ".lora_" in name)


def stage_for(stage: Stage, trainable: str) -> Stage:
    """Return the stage without the samples that would train nothing in the set.

    Raises:
        ValueError: if no sample is left.
    """
    if trainable != "text":
        return stage
    mixture: dict[SampleMode, float] = {
        mode: share for mode, share in stage.mixture.items() if mode != "video_only"
    }
    if not mixture:
        raise ValueError(f"trainable 'text': stage {stage.name!r} has no caption to train it on")
    return replace(stage, mixture=mixture)


def finish_lora(transformer: UniViGUTransformer, adapter_dir: Path, *, merge: bool) -> None:
    """Write the adapters to a folder and take them out of the network, merged into it or not.

    Unmerged, the attention is Wan's again, and `transformer.load_lora_adapter(folder)` puts the
    trained one back.
    """
    transformer.save_lora_adapter(adapter_dir)
    if merge:
        transformer.fuse_lora()
    transformer.unload_lora()
