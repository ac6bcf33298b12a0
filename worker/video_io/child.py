"""The process that reads one hostile video: `python -m worker.video_io.child REQUEST`.

Started by `isolated`; writes the frames to files and one JSON line to standard output.
"""

import ctypes
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from worker.video_io.decode import Segment, read_clip, read_segments
from worker.video_io.limits import Limits, VideoError
from worker.video_io.pictures import are_pictures, read_pictures

_PR_SET_PDEATHSIG = 1
_CPU_SECONDS_PER_SECOND = 5  # the decoder's threads and ours; a backstop behind the wall clock


def main() -> None:
    """Answer the request given as the only argument."""
    request = json.loads(sys.argv[1])
    limits = Limits(**request["limits"])
    die_with(request["parent"])
    _restrict(limits)
    sys.stdout.write(json.dumps(_answer(request, limits)) + "\n")


def segment_file(at: int) -> str:
    """Return the name under which the clip of a segment is kept; names sort like segments."""
    return f"segment-{at:03}.npy"


def _answer(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    segments = _segments(request, limits)
    try:
        return {"segments": [_keep(*numbered, request) for numbered in enumerate(segments)]}
    except VideoError as error:
        return {"error": {"code": error.code, "message": str(error)}}
    except MemoryError:
        message = f"decoding needs more than the limit of {limits.max_memory_bytes} bytes of memory"
        return {"error": {"code": "decode_out_of_memory", "message": message}}


def _segments(request: dict[str, Any], limits: Limits) -> Iterator[Segment]:
    path, length = Path(request["path"]), request["segment_seconds"]
    options = {**request["size"], "limits": limits}
    are_single = are_pictures(path)
    if length is None:
        clip = (read_pictures if are_single else read_clip)(path, **options)
        yield Segment(0.0, clip.info.duration_seconds, clip)
    elif are_single:
        message = f"pictures have no times and cannot be cut into segments of {length:g} s"
        raise VideoError("unsupported_format", message)
    else:
        yield from read_segments(path, length, **options)


def _keep(at: int, segment: Segment, request: dict[str, Any]) -> dict[str, Any]:
    clip = segment.clip
    np.save(Path(request["folder"]) / segment_file(at), clip.frames, allow_pickle=False)
    facts = {"repeated_frames": clip.repeated_frames, "truncated": clip.truncated}
    return {"span": [segment.start, segment.end], "info": asdict(clip.info), "facts": facts}


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
