"""Linear layers in 8 bits, on GPUs that multiply them: an approximation, off by default."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DTYPE = torch.float8_e4m3fn
#: what the matrix units of GPUs ask of both sides of a weight
_MULTIPLE = 16
#: NVIDIA's Ada; Hopper is (9, 0)
_LEAST_CAPABILITY = (8, 9)


def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return 8-bit values (..., K) and the scale (..., 1) of each row, float32.

    Values times scale are the rows again, within a sixteenth of each value that is not tiny beside
    the largest of its row.
    """
    largest = values.abs().amax(-1, keepdim=True).float()
    scale = largest.clamp(min=torch.finfo(torch.float32).tiny) / torch.finfo(DTYPE).max
    return (values.float() / scale).to(DTYPE), scale


class Fp8Linear(nn.Module):
    """A linear layer that multiplies in e4m3, with a scale per row of weights and per token.

    Args:
        linear: what it stands for; its weight is rounded here, once.
    """

    weight: Tensor  # [out, in] e4m3
    scale: Tensor  # [1, out] float32
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = quantize_rows(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.t())
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, states: Tensor) -> Tensor:
        """Return (..., out) of states (..., in), in their dtype."""
        values, scale = quantize_rows(states.flatten(0, -2))
        product: Tensor = torch._scaled_mm(
            values,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.scale,
            bias=self.bias,
            out_dtype=states.dtype,
            use_fast_accum=True,  # sums of products as the matrix units keep them, without detours
        )
        return product.unflatten(0, states.shape[:-1])


def check_fp8(device: torch.device, dtype: torch.dtype) -> None:
    """Refuse what 8-bit products would not run on, or not run faster.

    Raises:
        ValueError: for a device without them, or weights that are not bfloat16.
    """
    least = ".".join(map(str, _LEAST_CAPABILITY))
    if device.type != "cuda":
        raise ValueError(
            f"fp8_linears: device {device} is no GPU; needed: one of compute capability {least} "
            "or higher"
        )
    capability = torch.cuda.get_device_capability(device)
    if capability < _LEAST_CAPABILITY:
        found = ".".join(map(str, capability))
        raise ValueError(
            f"fp8_linears: {torch.cuda.get_device_name(device)} has compute capability {found}; "
            f"needed: {least} or higher"
        )
    if dtype != torch.bfloat16:
        raise ValueError(f"fp8_linears: dtype {dtype} is not offered; needed: bfloat16")


def quantize_linears(module: nn.Module) -> None:
    """Replace every linear layer below a module, in place.

    Raises:
        ValueError: for a layer whose sides are no multiples of 16; nothing is replaced then.
    """
    linears = {name: one for name, one in module.named_modules() if isinstance(one, nn.Linear)}
    for name, linear in linears.items():
        if linear.in_features % _MULTIPLE or linear.out_features % _MULTIPLE:
            raise ValueError(
                f"fp8_linears: {name} is {linear.out_features} x {linear.in_features}; both have "
                f"to be multiples of {_MULTIPLE}"
            )
    for name, linear in linears.items():
        module.set_submodule(name, Fp8Linear(linear))


def has_fp8(module: nn.Module) -> bool:
    """Return whether a module multiplies in 8 bits anywhere."""
    return any(isinstance(one, Fp8Linear) for one in module.modules())
