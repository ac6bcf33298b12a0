"""Makes a loaded pipeline faster, from outside: the mathematics stay, the rounding may not.

What changes more than rounding is an approximation: it has to be told in every result.
"""

from __future__ import annotations

from diffusers.models.attention_dispatch import AttentionBackendName

from model.fp8 import check_fp8, quantize_linears
from model.pipeline import UniViGUPipeline


def optimize(
    pipeline: UniViGUPipeline,
    *,
    compiler: str | None = None,
    fuse_projections: bool = False,
    attention_backend: str | None = None,
    fp8_linears: bool = False,
) -> None:
    """Apply what is asked for to the transformer, in place; call it once, after placing it.

    Args:
        pipeline: loaded, on its device, in its dtype.
        compiler: backend of `torch.compile` for the block that is repeated, e.g. `inductor`; the
            first step of a new shape waits for it. None compiles nothing.
        fuse_projections: query, key and value in one matrix product, at the price of a second
            copy of these weights.
        attention_backend: diffusers' name of a kernel, e.g. `_native_cudnn`; None leaves torch
            its choice.
        fp8_linears: an approximation: the blocks' linear layers in 8 bits.

    Raises:
        ValueError: for a backend that diffusers does not know, or 8 bits where device, dtype or
            checkpoint do not allow them.
        ImportError: for one that is not installed.
    """
    transformer = pipeline.transformer
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
        transformer.compile_repeated_blocks(fullgraph=True, backend=compiler)
