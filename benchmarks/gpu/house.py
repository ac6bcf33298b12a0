"""Networks with random weights on the device, built once and shared by the benchmarks."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from statistics import median

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from benchmarks.gpu.shapes import Shapes
from model.latents import latent_shape
from model.optimize import optimize
from model.pipeline import UniViGUPipeline
from model.training.components import new_tokenizer
from model.training.moving_shapes import vocabulary
from model.transformer import UniViGUTransformer

DTYPE = torch.bfloat16
#: the kernels that torch brings itself; the fastest serves both sides
ATTENTION_BACKENDS = ("native", "_native_cudnn", "_native_flash")
_REPEATS = 5


class House:
    """What the benchmarks measure, on one device.

    Args:
        device: where.
        shapes: how large.
    """

    def __init__(self, device: torch.device, shapes: Shapes) -> None:
        self.device, self.shapes = device, shapes
        self._built: tuple[str, UniViGUPipeline] | None = None

    def pipeline(self, size: str) -> UniViGUPipeline:
        """Return the whole model of a size after `optimize`; one of another size goes."""
        if self._built is None or self._built[0] != size:
            self.forget()
            pipeline = self._build(size)
            optimize(
                pipeline,
                compiler=self.shapes.compiler,
                fuse_projections=True,
                attention_backend=self.attention_backend,
            )
            self._built = size, pipeline
        return self._built[1]

    def forget(self) -> None:
        """Free the memory, and what was compiled for other sizes."""
        if self._built is not None:
            self._built = None
            torch.compiler.reset()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def noise(self, pipeline: UniViGUPipeline) -> Tensor:
        """Return random latents of a clip, (1, C, F, H, W) float32."""
        shapes, config = self.shapes, pipeline.transformer.config
        grid = latent_shape(
            pipeline.vae, config.patch_size, shapes.height, shapes.width, shapes.num_frames
        )
        return torch.randn(1, config.in_channels, *grid, device=self.device)

    def condition(self, pipeline: UniViGUPipeline) -> Tensor:
        """Return random states of a prompt, (1, c, text_dim)."""
        config = pipeline.transformer.config
        shape = (1, config.condition_length, config.text_dim)
        return torch.randn(shape, device=self.device, dtype=DTYPE)

    def seconds(self, function: Callable[[], object]) -> float:
        """Return the time of a call, the device's work included."""
        self._synchronize()
        started = time.perf_counter()
        function()
        self._synchronize()
        return time.perf_counter() - started

    @cached_property
    def matmul_flops(self) -> float:
        """FLOP/s of a large matrix product on random data, the measure of the machine."""
        side = self.shapes.matmul_side
        one, other = torch.randn(2, side, side, device=self.device, dtype=DTYPE)

        def several() -> None:
            for _ in range(20):
                one @ other

        several()
        return 20 * 2 * side**3 / median(self.seconds(several) for _ in range(_REPEATS))

    @cached_property
    def attention_backend(self) -> str:
        """The fastest attention kernel here, by diffusers' name."""
        network = self.shapes.networks["1.3b"]
        tokens = self.shapes.height // 16 * (self.shapes.width // 16)
        shape = (1, 4 * tokens, network["num_attention_heads"], network["attention_head_dim"])
        states = torch.randn(shape, device=self.device, dtype=DTYPE)
        speeds: dict[str, float] = {}
        for name in ATTENTION_BACKENDS:

            def ask(backend: str = name) -> None:
                chosen = AttentionBackendName(backend)
                dispatch_attention_fn(states, states, states, backend=chosen)

            try:
                ask()
                speeds[name] = median(self.seconds(ask) for _ in range(_REPEATS))
            except (RuntimeError, ValueError, ImportError):
                continue  # not for this device
        return min(speeds, key=lambda name: speeds[name])

    @contextmanager
    def new_weights(self) -> Iterator[None]:
        """Make what is built meanwhile on the device, in `DTYPE`."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(DTYPE)
        try:
            with self.device:
                yield
        finally:
            torch.set_default_dtype(before)

    def _build(self, size: str) -> UniViGUPipeline:
        tokenizer = new_tokenizer(vocabulary())  # the words cost nothing, whatever they are
        layout = {"feed_forward_proj": "gated-gelu", "d_kv": 64, "tie_word_embeddings": False}
        with self.new_weights():
            return UniViGUPipeline(
                transformer=_kept_exact(
                    UniViGUTransformer(
                        **self.shapes.networks[size] | {"understanding_attention": "isolated"}
                    )
                ),
                vae=AutoencoderKLWan(**self.shapes.vae),
                text_encoder=UMT5EncoderModel(UMT5Config(**layout | self.shapes.text_encoder)),
                tokenizer=tokenizer,
                scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            )

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _kept_exact(network: UniViGUTransformer) -> UniViGUTransformer:
    """Return a network with the parts in float32 that loading a checkpoint leaves in it."""
    nn.init.normal_(network.text_proj_out.weight, std=0.02)  # zero when new
    exact = set(network._keep_in_fp32_modules)
    for name, tensor in network.named_parameters():
        if exact & set(name.split(".")):
            tensor.data = tensor.data.float()
    network.eval().requires_grad_(False)
    return network
