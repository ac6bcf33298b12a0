"""Makes a loaded pipeline faster, from outside: the mathematics stay, the rounding may not."""

from __future__ import annotations

from diffusers.models.attention_dispatch import AttentionBackendName

from model.pipeline import UniViGUPipeline


def optimize(
    pipeline: UniViGUPipeline,
    *,
    compiler: str | None = None,
    fuse_projections: bool = False,
    attention_backend: str | None = None,
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

    Raises:
        ValueError: for a backend that diffusers does not know.
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
    if compiler is not None:
        transformer.compile_repeated_blocks(fullgraph=True, backend=compiler)
