"""What every process of the worker does first: logging, and not outliving its parent."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGTERM when the parent dies, and leave if it is dead already.

    The signal belongs to the parent's thread that spawned this process: spawn from the main one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        sys.exit(f"parent process {parent_pid} is gone")


def enter_child(parent_pid: int, log_level: str) -> None:
    """Prepare a child of the supervisor."""
    die_with_parent(parent_pid)
    start_logging(log_level)


def start_logging(level: str) -> None:
    """Log to stderr, one line per record."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"
    )
