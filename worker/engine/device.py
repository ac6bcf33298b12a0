"""Where the engine computes, in which precision, and what that costs in memory."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path

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


def peak_memory() -> int:
    """Return the most bytes this process has used: of the GPU, or of the machine without one."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def used_memory() -> int:
    """Return the bytes this process uses now: of the GPU, or of the machine without one."""
    if torch.cuda.is_initialized():
        return torch.cuda.memory_allocated()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def free_memory(device: torch.device) -> int:
    """Return the bytes that tensors can still take: on the GPU, or on the machine without one."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_available(), _group_limit())


def held_memory(device: torch.device) -> int:
    """Return the bytes that tensors hold on a GPU; 0 elsewhere, where nobody counts."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def release_memory(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _available() -> int:
    """Return what the kernel can hand out without swapping, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kilobytes) << 10


def _group_limit() -> int:
    """Return what the container leaves to this process, in bytes."""
    folder = Path("/sys/fs/cgroup")
    try:
        most = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except OSError:
        return sys.maxsize
    return sys.maxsize if most == "max" else int(most) - used
