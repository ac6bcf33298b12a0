"""Commands whose process ends when this one is killed; Linux alone can promise that."""

import os
import sys
from collections.abc import Sequence

# exec'd in place of a preexec_fn, which is unsafe once this process has threads.
_LAUNCHER = """
import ctypes, os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() != parent:
    sys.exit("the parent process ended before its child began")
os.execv(command[0], command)
"""


def tied_command(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` and gets SIGTERM when its starter ends.

    Start it from a thread that lives as long as the process should: the kernel watches the
    thread. Off Linux the command runs just the same, without that tie.

    Args:
        command: the path of an executable, then its arguments.
    """
    return [sys.executable, "-IS", "-c", _LAUNCHER, str(os.getpid()), *command]
