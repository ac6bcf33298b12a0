"""What turns gradients into steps: the optimizers of a run and their one schedule."""

from __future__ import annotations

import math

import torch

from model.training.training_run import TrainingRun
from model.transformer import UniViGUTransformer

BETAS = (0.9, 0.95)
#: a kernel with fewer outputs, or inputs, is hardly a matrix; the gain of a norm has one
_LEAST_SIDE = 16


class Optimizers:
    """AdamW for the weights that are trained, or Muon for the matrices inside the blocks.

    Muon makes every direction of an update equally strong, which suits whole matrices and not
    the two thin factors of an adapter: those are AdamW's in any case.
    """

    def __init__(self, transformer: UniViGUTransformer, run: TrainingRun) -> None:
        matrices: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in transformer.named_parameters():
            if not parameter.requires_grad:
                continue
            by_muon = run.optimizer == "muon" and _is_matrix(name, parameter)
            (matrices if by_muon else others).append(parameter)
        self.parts: list[torch.optim.Optimizer] = []
        rate, decay = run.learning_rate, run.weight_decay
        if matrices:
            muon = torch.optim.Muon(
                matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
            )
            self.parts.append(muon)
        if others:
            adamw = torch.optim.AdamW(others, lr=rate, weight_decay=decay, betas=BETAS)
            self.parts.append(adamw)

    def step(self, rate: float) -> None:
        """Apply the gradients at a learning rate and clear them."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)


class KernelOptimizers:
    """Muon for the kernels of convolutions, each as a matrix with a row per output; else AdamW.

    Frozen weights are nobody's.
    """

    def __init__(self, network: torch.nn.Module, rate: float) -> None:
        self._kernels: list[tuple[torch.nn.Parameter, torch.nn.Parameter]] = []
        others: list[torch.nn.Parameter] = []
        for parameter in filter(lambda each: each.requires_grad, network.parameters()):
            if parameter.ndim > 2 and min(parameter.flatten(1).shape) >= _LEAST_SIDE:
                matrix = torch.nn.Parameter(parameter.data.flatten(1))  # shares its memory
                self._kernels.append((parameter, matrix))
            else:
                others.append(parameter)
        matrices = [matrix for _, matrix in self._kernels]
        self._network = network
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=rate, weight_decay=0, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=rate, weight_decay=0, betas=BETAS),
        )

    def step(self, rate: float) -> None:
        """Apply the gradients at a learning rate and clear them."""
        for kernel, matrix in self._kernels:
            assert kernel.grad is not None
            matrix.grad = kernel.grad.flatten(1)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
        self._network.zero_grad(set_to_none=True)


def _is_matrix(name: str, parameter: torch.nn.Parameter) -> bool:
    inside = name.startswith("blocks.") and name.endswith("weight") and parameter.ndim == 2
    return inside and ".lora_" not in name


def learning_rate(step: int, run: TrainingRun) -> float:
    """Return the rate at a step: linear warm-up, then cosine down to `final_rate` of the peak."""
    warm = min(1.0, (step + 1) / run.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * step / run.num_steps))
    return run.learning_rate * warm * (run.final_rate + (1 - run.final_rate) * cosine)
