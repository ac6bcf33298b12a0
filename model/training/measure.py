"""What a training step of a network takes in operations and memory, found out without doing it.

The network and the loss are the real ones, run on tensors that have a shape and no values. Blocks
are alike, so networks of one and of two of them tell what any number of them takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from model.blocks import Stream
from model.training.data import Batch
from model.training.objective import losses
from model.training.stage import Stage
from model.training.trainable import choose_trainable
from model.training.training_run import TrainingRun
from model.transformer import UniViGUTransformer


@dataclass(frozen=True)
class Work:
    """What one pass forward and back takes, for the rows that were asked for."""

    forward_flops: float
    flops: float
    #: bytes that the forward pass leaves for the backward pass
    saved_bytes: float


@dataclass(frozen=True)
class StepWork:
    """The work of a whole network, with every block remembered or computed again."""

    plain: Work
    checkpointed: Work


def measure_step(
    config: Mapping[str, Any], stage: Stage, run: TrainingRun, latents: tuple[int, ...]
) -> StepWork:
    """Return what a captioned batch takes.

    Args:
        config: of the transformer.
        stage: gives the loss.
        run: says what is trained, and in which precision.
        latents: (B, C, F, H, W), B rows.
    """
    one, inputs = _measure(config, 1, stage, run, latents)
    two, _ = _measure(config, 2, stage, run, latents)
    more = config["num_layers"] - 1
    forward = two.forward_flops - one.forward_flops
    block = two.saved_bytes - one.saved_bytes
    plain = Work(
        one.forward_flops + more * forward,
        one.flops + more * (two.flops - one.flops),
        one.saved_bytes + more * block,
    )
    again = (more + 1) * forward
    kept = one.saved_bytes + (more + 1) * inputs  # one block at a time has what it computes
    return StepWork(plain, Work(plain.forward_flops, plain.flops + again, kept))


def weightless(config: Mapping[str, Any], run: TrainingRun) -> UniViGUTransformer:
    """Return a network on the meta device, with what a run trains left trainable."""
    with torch.device("meta"):
        transformer = UniViGUTransformer(**config).train()
        choose_trainable(transformer, run.trainable, lora_rank=run.lora_rank, seed=run.seed)
    return transformer


def _measure(
    config: Mapping[str, Any],
    num_layers: int,
    stage: Stage,
    run: TrainingRun,
    latents: tuple[int, ...],
) -> tuple[Work, float]:
    """Return the work, and the bytes of the first block's streams."""
    inputs = 0.0

    def look(block: torch.nn.Module, streams: tuple[Any, ...]) -> None:
        nonlocal inputs
        inputs = float(sum(s.hidden.nbytes for s in streams if isinstance(s, Stream)))

    transformer = weightless(dict(config) | {"num_layers": num_layers}, run)
    with FakeTensorMode(allow_non_fake_inputs=True):
        transformer.to_empty(device="cpu")
        transformer.blocks[0].register_forward_pre_hook(look)
        saved = _Saved(transformer.parameters())
        batch = _batch(transformer.config, latents)
        with FlopCounterMode(display=False) as counter:
            with (
                _FusedAttention(),
                saved_tensors_hooks(saved.pack, lambda tensor: tensor),
                torch.autocast("cpu", torch.bfloat16, run.autocast),
            ):
                total = losses(transformer, batch, stage, pad_id=0)["total"]
            forward = counter.get_total_flops()
            total.backward()
        return Work(forward, counter.get_total_flops(), saved.num_bytes), inputs


class _Saved:
    """Storages that a backward pass will need, each once, without the weights themselves."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._storages: dict[int, Any] = {}
        self._weights = {p.untyped_storage()._cdata for p in parameters}

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._weights:
            self._storages[storage._cdata] = storage
        return tensor

    @property
    def num_bytes(self) -> float:
        return float(sum(storage.nbytes() for storage in self._storages.values()))


class _FusedAttention(TorchFunctionMode):
    """Attention as GPU kernels do it, which keep no matrix of all queries and keys."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        named = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
        query, key, value = (named[name] for name in ("query", "key", "value"))
        return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]


def _batch(config: Any, latents: tuple[int, ...]) -> Batch:
    rows, captions = latents[0], (latents[0], config.caption_length)
    ones, flags = torch.ones(rows), torch.zeros(rows, dtype=torch.bool)
    embedded = config.text_flow == "embedding"
    width = config.num_attention_heads * config.attention_head_dim
    return Batch(
        latents=torch.zeros(latents),
        velocity=torch.zeros(latents),
        video_sigma=ones,
        video_weight=ones,
        condition=torch.zeros(rows, config.condition_length, config.text_dim),
        caption=torch.zeros(*captions, width) if embedded else torch.zeros(captions).long(),
        target=torch.zeros(captions).long(),
        text_sigma=ones,
        text_weight=ones,
        isolate=flags if config.understanding_attention == "isolated" else None,
        caption_mask=torch.ones(captions, dtype=torch.bool),
    )
