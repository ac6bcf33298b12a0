"""Turn a stock Wan2.1 diffusers folder into a Uni-ViGU checkpoint.

Without a released file the text side starts untrained: the text expert and time path as copies of
the video's, a random embedding and a zero head, as the authors initialise them.
"""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import __version__ as diffusers_version
from torch import Tensor

from model.presets import WAN_480P
from model.released import open_released
from model.transformer import UniViGUTransformer
from model.weights import MAX_SHARD_BYTES, LazyWeights, open_safetensors, write_shards

#: vocabulary of UMT5, used where the folder has no text encoder to ask
UMT5_VOCAB_SIZE = 256_384
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

#: parts of a pipeline folder besides the transformer, and the stem of their weight files
_PARTS = {
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "tokenizer": None,
    "scheduler": None,
}
_WAN_CONFIG = (
    "patch_size",
    "num_attention_heads",
    "attention_head_dim",
    "in_channels",
    "out_channels",
    "text_dim",
    "freq_dim",
    "ffn_dim",
    "num_layers",
    "cross_attn_norm",
    "eps",
    "rope_max_seq_len",
)
_EMBEDDING_SEED = 0


@dataclass
class ConvertReport:
    """What a conversion wrote and what the Wan folder did not have."""

    written: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def convert(
    wan: Path,
    out: Path,
    *,
    released: Path | None = None,
    dtype: str | None = None,
    caption_length: int = 256,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> ConvertReport:
    """Write a Uni-ViGU checkpoint folder.

    Args:
        wan: Wan2.1 folder in diffusers layout; `transformer/` alone is enough.
        out: folder to create; its files are replaced.
        released: the authors' `.pth`; None starts the text side untrained.
        dtype: `fp32`, `fp16` or `bf16` for all weights; None keeps each source's own.
        caption_length: caption tokens of the checkpoint.
        max_shard_bytes: largest weight file.

    Raises:
        ValueError: for a folder or file that is not what it should be, naming it and the
            offending key, shape or size.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r}: must be one of {', '.join(DTYPES)}")
    if caption_length < 1:
        raise ValueError(f"caption_length {caption_length}: must be at least 1")
    target = None if dtype is None else DTYPES[dtype]
    config = _wan_config(wan) | {"caption_length": caption_length, "null_condition": "empty_prompt"}
    if released is None:
        config |= {
            "caption_vocab_size": _vocab_size(wan),
            "understanding_attention": "isolated",
        }
        weights = with_copies(open_safetensors(wan / "transformer"))
        made = _new_parts(config, _any(weights).dtype)
    else:
        made = {}
        weights = open_released(released)
        config["caption_vocab_size"] = _rows(weights, "caption_embedding.weight", released)
    _check(weights, made, config, released or wan / "transformer")

    report = ConvertReport()
    folder = out / "transformer"
    folder.mkdir(parents=True, exist_ok=True)
    files = write_shards(weights | made, folder, "diffusion_pytorch_model", target, max_shard_bytes)
    header = {"_class_name": "UniViGUTransformer", "_diffusers_version": diffusers_version}
    _write_json(folder / "config.json", header | config)
    report.written += [f"transformer/{name}" for name in (*files, "config.json")]
    for part, stem in _PARTS.items():
        if (wan / part).is_dir():
            report.written += _copy_part(wan / part, out / part, stem, target, max_shard_bytes)
        else:
            report.left_out.append(part)
    _write_json(out / "model_index.json", _model_index(wan, header["_diffusers_version"]))
    report.written.append("model_index.json")
    return report


def _wan_config(wan: Path) -> dict[str, Any]:
    path = wan / "transformer" / "config.json"
    if not path.is_file():
        raise ValueError(f"{wan}: there is no transformer/config.json")
    config = json.loads(path.read_text())
    if config.get("_class_name") != "WanTransformer3DModel":
        found = config.get("_class_name")
        raise ValueError(f"{path}: _class_name is {found!r}, must be 'WanTransformer3DModel'")
    if config.get("image_dim") or config.get("added_kv_proj_dim"):
        raise ValueError(f"{path}: image-to-video checkpoints (image_dim) are not supported")
    defaults = inspect.signature(UniViGUTransformer.__init__).parameters
    return {name: config.get(name, defaults[name].default) for name in _WAN_CONFIG}


def _vocab_size(wan: Path) -> int:
    path = wan / "text_encoder" / "config.json"
    return int(json.loads(path.read_text())["vocab_size"]) if path.is_file() else UMT5_VOCAB_SIZE


def _rows(weights: LazyWeights, name: str, source: Path) -> int:
    if name not in weights:
        raise ValueError(f"{source}: the key of {name} is missing")
    return int(weights[name]().shape[0])


def with_copies(wan: LazyWeights) -> LazyWeights:
    """Add what the text side starts with as copies of the video's."""
    weights = dict(wan)
    for name, read in wan.items():
        if ".ffn." in name:
            weights[name.replace(".ffn.", ".ffn_text.")] = _copy_of(read)
        elif name.startswith(("condition_embedder.time_embedder", "condition_embedder.time_proj")):
            weights[name.replace("condition_embedder.", "caption_")] = _copy_of(read)
        elif name == "scale_shift_table":
            weights["text_scale_shift_table"] = _copy_of(read)
    return weights


def _copy_of(read: Callable[[], Tensor]) -> Callable[[], Tensor]:
    return lambda: read().clone()


def _new_parts(config: dict[str, Any], dtype: torch.dtype) -> LazyWeights:
    vocab = config["caption_vocab_size"]
    dim = config["num_attention_heads"] * config["attention_head_dim"]

    def embedding() -> Tensor:
        generator = torch.Generator().manual_seed(_EMBEDDING_SEED)
        return torch.randn(vocab, dim, generator=generator).to(dtype)

    return {
        "caption_embedding.weight": embedding,
        "text_norm_out.weight": lambda: torch.ones(dim, dtype=dtype),
        "text_proj_out.weight": lambda: torch.zeros(vocab, dim, dtype=dtype),
        "text_proj_out.bias": lambda: torch.zeros(vocab, dtype=dtype),
    }


def _any(weights: LazyWeights) -> Tensor:
    return next(iter(weights.values()))()


def _check(weights: LazyWeights, made: LazyWeights, config: dict[str, Any], source: Path) -> None:
    """Compare names and shapes with the architecture before anything is written."""
    with torch.device("meta"):
        expected = UniViGUTransformer(**config).state_dict()
    for name in sorted(weights.keys() - expected.keys()):
        raise ValueError(f"{source}: the key {name} is not part of the model")
    for name, like in expected.items():
        if name in made:
            continue  # made to size
        if name not in weights:
            raise ValueError(f"{source}: the key {name} is missing")
        shape = tuple(weights[name]().shape)
        if shape != tuple(like.shape):
            raise ValueError(f"{source}: {name} is {shape}, must be {tuple(like.shape)}")


def _copy_part(
    source: Path, out: Path, stem: str | None, dtype: torch.dtype | None, max_shard_bytes: int
) -> list[str]:
    cast = stem is not None and dtype is not None
    ignored = shutil.ignore_patterns("*.safetensors", "*.index.json") if cast else None
    shutil.copytree(source, out, dirs_exist_ok=True, ignore=ignored)
    if stem is not None and cast:
        write_shards(open_safetensors(source), out, stem, dtype, max_shard_bytes)
    return sorted(p.relative_to(out.parent).as_posix() for p in out.rglob("*") if p.is_file())


def _model_index(wan: Path, version: str) -> dict[str, Any]:
    """Return the index of the parts that are there, with the classes the Wan folder names."""
    path = wan / "model_index.json"
    classes: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    stock = {
        "vae": ["diffusers", "AutoencoderKLWan"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    }
    parts = {name: classes.get(name, stock[name]) for name in _PARTS if (wan / name).is_dir()}
    # a T5 class would drop the position biases that UMT5 has in every layer but the first
    if "text_encoder" in parts:
        parts["text_encoder"] = stock["text_encoder"]
    return {
        "_class_name": "UniViGUPipeline",
        "_diffusers_version": version,
        "transformer": ["model.transformer", "UniViGUTransformer"],
        **parts,
        "caption_tokenizer": [None, None],
        "serving": WAN_480P,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
