"""Says in the client's words why a step failed; the log keeps the traceback."""

from __future__ import annotations

import torch

from contract.errors import ErrorCode
from model import PromptTooLong
from worker.protocol import Failed


def explain(error: Exception) -> Failed:
    """Return the message that ends the job."""
    if _is_out_of_memory(error):
        message = "the device has not enough memory for this size, length and number of jobs"
        return Failed(code=ErrorCode.OUT_OF_MEMORY, message=message)
    if isinstance(error, PromptTooLong):
        return Failed(code=ErrorCode.PROMPT_TOO_LONG, message=str(error), param=error.field)
    if isinstance(error, ValueError):
        return Failed(code=ErrorCode.INVALID_REQUEST, message=str(error))
    return Failed(code=ErrorCode.INTERNAL, message="a defect of the server; its log says more")


def _is_out_of_memory(error: Exception) -> bool:
    # torch has no class of its own for the CPU allocator's refusal
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "DefaultCPUAllocator" in str(error)
    )
