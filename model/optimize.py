"""Makes a loaded pipeline faster, from outside: the mathematics stay, the rounding may not.

What changes more than rounding is an approximation: it has to be told in every result.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm

from model.blocks import EAGER, Regions
from model.fp8 import check_fp8, quantize_linears
from model.pipeline import UniViGUPipeline

#: variants of one function that are compiled before the next runs as it is written: modes,
#: conditions and dimensions of one make a dozen, of which torch would allow eight
_MAX_VARIANTS = 64


def optimize(
    pipeline: UniViGUPipeline,
    *,
    compiler: str | None = None,
    cuda_graphs: bool = False,
    fuse_projections: bool = False,
    attention_backend: str | None = None,
    fp8_linears: bool = False,
) -> None:
    """Apply what is asked for to the model, in place; call it once, after placing it.

    Compiled code and graphs belong to threads: call it in the one that runs the model.

    Args:
        pipeline: loaded, on its device, in its dtype.
        compiler: backend of `torch.compile`, e.g. `inductor`, for the block that is repeated and
            for the autoencoder's norms. The first step waits for it, and the first of a second
            shape; from then on shapes are variables. None compiles nothing.
        cuda_graphs: steps of captions from a clip that was looked at before are compiled by
            inductor, and launched as CUDA graphs.
        fuse_projections: query, key and value in one matrix product, at the price of a second
            copy of these weights.
        attention_backend: diffusers' name of a kernel, e.g. `_native_cudnn`; None leaves torch
            its choice.
        fp8_linears: an approximation: the blocks' linear layers in 8 bits.

    Raises:
        ValueError: for a backend that diffusers does not know, CUDA graphs without CUDA, or 8 bits
            where device, dtype or checkpoint do not allow them.
        ImportError: for one that is not installed.
    """
    transformer = pipeline.transformer
    if cuda_graphs and pipeline.device.type != "cuda":
        raise ValueError(f"cuda_graphs: device {pipeline.device} is no GPU; needed: a CUDA device")
    if attention_backend is not None:
        known = [backend.value for backend in AttentionBackendName]
        if attention_backend not in known:
            raise ValueError(
                f"attention_backend {attention_backend!r}: must be one of {', '.join(known)}"
            )
        transformer.set_attention_backend(attention_backend)
    if fuse_projections:
        transformer.fuse_qkv_projections()
    if fp8_linears:
        check_fp8(pipeline.device, transformer.proj_out.weight.dtype)
        quantize_linears(transformer.blocks)
    if compiler is not None:
        _compile(pipeline, compiler)
    if cuda_graphs:
        transformer.text_regions = graphed_regions()


def graphed_regions() -> Regions:
    """Return what a block computes between attentions, compiled, and on CUDA as CUDA graphs."""
    return _regions(mode="reduce-overhead", are_graphs=True)


def _compile(pipeline: UniViGUPipeline, compiler: str) -> None:
    transformer = pipeline.transformer
    # without `fullgraph`, which fails a job whose variant is one too many
    transformer.compile_repeated_blocks(backend=compiler)
    transformer.video_regions = transformer.text_regions = _regions(backend=compiler)
    for module in pipeline.vae.modules():
        if isinstance(module, WanRMS_norm):
            module.compile(backend=compiler)


def _regions(*, are_graphs: bool = False, **options: Any) -> Regions:
    limits: Any = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, _MAX_VARIANTS)
    names = [field.name for field in fields(Regions) if field.name != "are_graphs"]
    functions = {name: torch.compile(getattr(EAGER, name), **options) for name in names}
    return Regions(**functions, are_graphs=are_graphs)
