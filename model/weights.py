"""Weights on disk, read lazily and written in shards, so that no conversion needs much memory.

A source is a mapping from name to a tensor that is only read when it is asked for.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

#: largest shard; with the memory-mapped source this bounds the peak memory of a conversion
MAX_SHARD_BYTES = 2 << 30

#: name to a function that reads the tensor
LazyWeights = dict[str, Callable[[], Tensor]]


def open_safetensors(folder: Path) -> LazyWeights:
    """Return the weights of every safetensors file in a folder, unread.

    Raises:
        ValueError: naming the file and its size if one is not a complete safetensors file, or the
            folder if it has none.
    """
    weights: LazyWeights = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            handle: Any = safe_open(path, framework="pt")
        except SafetensorError as exc:
            size = path.stat().st_size
            message = f"{path}: {size} bytes are not a complete safetensors file ({exc})"
            raise ValueError(message) from exc
        weights |= {name: partial(handle.get_tensor, name) for name in handle.keys()}
    if not weights:
        raise ValueError(f"{folder}: there is no .safetensors file")
    return weights


def open_torch_file(path: Path) -> dict[str, object]:
    """Return the content of a `torch.save` file, its tensors memory-mapped.

    Raises:
        ValueError: naming the file and its size if it is truncated, not a zip archive of tensors,
            or holds anything but tensors and plain values.
    """
    try:
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as exc:
        size = path.stat().st_size if path.exists() else 0
        reason = str(exc).splitlines()[0]
        raise ValueError(f"{path}: cannot read its {size} bytes as weights ({reason})") from exc
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a dictionary")
    return content


def write_shards(
    weights: LazyWeights,
    folder: Path,
    stem: str,
    dtype: torch.dtype | None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> list[str]:
    """Write weights as safetensors in name order, cast to `dtype` if given.

    One file where everything fits into a shard, else numbered shards with an index, both as
    diffusers and transformers read them.

    Args:
        weights: what to write; each tensor is read once.
        folder: existing folder.
        stem: file name without ending, e.g. `diffusion_pytorch_model`.
        dtype: of floating-point tensors; None keeps each tensor's own.
        max_shard_bytes: largest shard.

    Returns:
        The names of the files written.
    """
    partials: list[tuple[Path, list[str]]] = []
    total = 0
    for shard in _shards(weights, dtype, max_shard_bytes):
        path = folder / f"{stem}.{len(partials)}.partial"
        save_file(shard, path, metadata={"format": "pt"})
        total += sum(t.nbytes for t in shard.values())
        partials.append((path, list(shard)))
    if len(partials) == 1:
        names = [f"{stem}.safetensors"]
    else:
        names = [
            f"{stem}-{i + 1:05}-of-{len(partials):05}.safetensors" for i in range(len(partials))
        ]
        index = {
            name: file for (_, held), file in zip(partials, names, strict=True) for name in held
        }
        text = json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2)
        (folder / f"{stem}.safetensors.index.json").write_text(text + "\n")
    for (path, _), name in zip(partials, names, strict=True):
        path.replace(folder / name)
    return names


def _shards(
    weights: LazyWeights, dtype: torch.dtype | None, max_shard_bytes: int
) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name in sorted(weights):
        tensor = weights[name]()
        if dtype is not None and tensor.is_floating_point():
            tensor = tensor.to(dtype)
        if shard and size + tensor.nbytes > max_shard_bytes:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor.contiguous()
        size += tensor.nbytes
    yield shard
