"""Where the engine computes, in which precision, and what that costs in memory."""

from __future__ import annotations

import resource

import torch

from worker.settings import WorkerSettings


def choose_device(name: str) -> torch.device:
    """Return the device of a setting; `auto` is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def choose_dtype(settings: WorkerSettings, device: torch.device) -> torch.dtype:
    """Return the precision of a setting; `auto` is bfloat16 on CUDA and float32 on the CPU."""
    if settings.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.dtype]


def peak_memory_mb() -> float:
    """Return the most memory this process has used: of the GPU, or of the machine without one."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
