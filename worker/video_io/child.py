"""The process that reads one hostile video: `python -m worker.video_io.child REQUEST`.

Started by `isolated`; writes the frames to a file and one JSON line to standard output.
"""

import ctypes
import json
import math
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from worker.video_io.decode import read_clip
from worker.video_io.limits import Limits, VideoError

_PR_SET_PDEATHSIG = 1
_CPU_SECONDS_PER_SECOND = 5  # the decoder's threads and ours; a backstop behind the wall clock


def main() -> None:
    """Answer the request given as the only argument."""
    request = json.loads(sys.argv[1])
    limits = Limits(**request["limits"])
    die_with(request["parent"])
    _restrict(limits)
    sys.stdout.write(json.dumps(_answer(request, limits)) + "\n")


def _answer(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    try:
        clip = read_clip(Path(request["path"]), **request["size"], limits=limits)
        np.save(request["output"], clip.frames, allow_pickle=False)
    except VideoError as error:
        return {"error": {"code": error.code, "message": str(error)}}
    except MemoryError:
        message = f"decoding needs more than the limit of {limits.max_memory_bytes} bytes of memory"
        return {"error": {"code": "decode_out_of_memory", "message": message}}
    facts = {"repeated_frames": clip.repeated_frames, "truncated": clip.truncated}
    return {"info": asdict(clip.info), "facts": facts}


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit("the parent is gone")


def _restrict(limits: Limits) -> None:
    cpu_seconds = math.ceil(limits.max_decode_seconds * _CPU_SECONDS_PER_SECOND)
    _lower(resource.RLIMIT_CPU, cpu_seconds)
    _lower(resource.RLIMIT_AS, limits.max_memory_bytes)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, hard))


if __name__ == "__main__":
    main()
