"""What a stage is given besides its options: a network, clips, and where the result goes.

The demo world's course is in `run`; this is the one for real clips and a converted checkpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from model.training.clip_cache import ClipCache, ClipShape
from model.training.clips import OnLine, Wanted, code_clips
from model.training.config import ClipData, StageConfig
from model.training.data import NULL_PROMPT, BatchMaker, Subject
from model.training.knowledge import NOTHING_KNOWN, Knowledge
from model.training.processes import Processes
from model.training.stage import Stage
from model.transformer import UniViGUTransformer


@dataclass(frozen=True)
class Course:
    """Everything that `train` takes, and how to save what comes out."""

    transformer: UniViGUTransformer
    subjects: Sequence[Subject]
    batches: BatchMaker
    stage: Stage
    pad_id: int
    save: Callable[[UniViGUTransformer, Path], None]
    knowledge: Knowledge = NOTHING_KNOWN


def clip_course(
    wanted: StageConfig, data: ClipData, processes: Processes, on_line: OnLine
) -> Course:
    """Code the clips, load the network and return the course.

    Raises:
        ValueError: if no clip can be used; lines left out are in `skipped.jsonl` beside the run.
        FileNotFoundError: if there is no checkpoint.
    """
    stage = wanted.stage
    checkpoint = wanted.start or data.checkpoint
    transformer = load_transformer(checkpoint / "transformer")
    config = transformer.config
    tokenizer = _caption_tokenizer(data.checkpoint)
    shape = ClipShape(data.num_frames, data.height, data.width)
    length = config.condition_length
    clips = code_clips(
        data.sources,
        ClipCache(data.cache, data.checkpoint, shape, length, processes.device),
        Wanted(
            data.split,
            needs_caption=stage.target == "caption" or stage.detailed_share > 0,
            asks_by_caption=stage.detailed_share > 0,
            tokenizer=tokenizer,
            caption_length=config.caption_length,
        ),
        length,
        wanted.run.out_dir / "skipped.jsonl",
        processes,
        on_line,
    )
    if config.null_condition == "empty_prompt":
        transformer.empty_prompt_embeds = clips.conditions[NULL_PROMPT][None]

    def save(trained: UniViGUTransformer, folder: Path) -> None:
        save_beside(data.checkpoint, trained, folder)

    return Course(
        transformer,
        clips.words,
        BatchMaker(clips.latents, clips.conditions, tokenizer, config),
        replace(stage, question_share=0.0),  # nobody has written answers for these clips
        tokenizer.pad_token_id,
        save,
    )


def load_transformer(folder: Path) -> UniViGUTransformer:
    """Return a saved network in float32, as it is trained.

    Raises:
        FileNotFoundError: if the folder is not there.
    """
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: run the earlier stage first")
    return UniViGUTransformer.from_pretrained(folder, dtype=torch.float32)


def save_beside(source: Path, transformer: UniViGUTransformer, folder: Path) -> None:
    """Write a checkpoint of a trained network in bf16 and the source's other parts as they are."""
    for part in source.iterdir():
        if part.is_dir() and part.name != "transformer":
            shutil.copytree(part, folder / part.name, dirs_exist_ok=True)
    shutil.copy2(source / "model_index.json", folder)
    transformer.to(torch.bfloat16).save_pretrained(folder / "transformer")


def _caption_tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    own = checkpoint / "caption_tokenizer"
    return AutoTokenizer.from_pretrained(own if own.exists() else checkpoint / "tokenizer")
