"""The authors' released checkpoint file: its key names in terms of ours.

Source: layout of the released `.pth`; see docs/decisions for what was checked against it.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from torch import Tensor

from model.weights import LazyWeights, open_torch_file

#: wrappers of the training run that may stand anywhere in a key
_WRAPPERS = ("_fsdp_wrapped_module.", "_orig_mod.")
#: derived values that the file also holds
_IGNORED = {"rotary_emb_text.inv_freq"}
#: released name to ours, first match wins; what matches none keeps its name
_RENAMES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"^vocab_embed\.", "caption_embedding."),
        (r"^(blocks\.\d+\.)ffn_t\.", r"\1ffn_text."),
        (r"^time_embedding_v\.", "condition_embedder."),
        (r"^time_embedding_t\.time_embedder\.", "caption_time_embedder."),
        (r"^time_embedding_t\.time_proj\.", "caption_time_proj."),
        (r"^cond_text_embedder\.", "condition_embedder.text_embedder."),
        (r"^scale_shift_table_v$", "scale_shift_table"),
        (r"^scale_shift_table_t$", "text_scale_shift_table"),
        (r"^video_head\.proj_out\.", "proj_out."),
        (r"^text_head\.norm_final\.", "text_norm_out."),
        (r"^text_head\.linear\.", "text_proj_out."),
    )
)


def our_name(released: str) -> str | None:
    """Return our name of a released key, None if it is to be ignored."""
    for wrapper in _WRAPPERS:
        released = released.replace(wrapper, "")
    if released in _IGNORED:
        return None
    for pattern, ours in _RENAMES:
        renamed, count = pattern.subn(ours, released)
        if count:
            return renamed
    return released


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def open_released(path: Path) -> LazyWeights:
    """Return the weights of a released file under our names, unread.

    Raises:
        ValueError: if the file is unreadable, or has no `model` dictionary of tensors.
    """
    state = open_torch_file(path).get("model")
    if not isinstance(state, dict):
        raise ValueError(f"{path}: there is no dictionary under the key 'model'")
    weights: LazyWeights = {}
    for key, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{path}: model[{key!r}] is a {type(tensor).__name__}, not a tensor")
        name = our_name(key)
        if name is not None:
            weights[name] = partial(_itself, tensor)
    return weights
