"""An engine without a model, as a script: the real loop on the real socket, with steps that sleep.

A prompt says what happens: `poison` kills the process at the second step, `refuse` is a request
that the model does not take, `whose` is answered with the account, `defect` is one of ours.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from contract.requests import Capabilities, GenerateRequest
from worker.engine.pulse import Pulse
from worker.engine.serve import serve
from worker.process import enter_child
from worker.protocol import (
    FRAMES_FILE,
    SEGMENT_FILES,
    SPRITESHEET_FILE,
    THUMBNAIL_FILE,
    VIDEO_FILE,
    Done,
    Failed,
    Preview,
    Progress,
)
from worker.run_folder import RunFolder
from worker.video_io import thumbnail_jpeg

STEP_SECONDS = 0.05
_PICTURE = thumbnail_jpeg(np.full((32, 48, 3), 127, np.uint8))
CAPABILITIES = Capabilities(
    checkpoint="stand-in@0",
    sizes=[(32, 48)],
    max_num_frames=9,
    default_num_frames=5,
    fps=8,
    default_num_inference_steps=4,
    default_understand_steps=2,
    max_num_inference_steps=1000,
    default_guidance_scale=1.0,
    temporal_compression=4,
    max_prompt_tokens=64,
)


class StandIn:
    """Makes jobs that take their time and nothing else."""

    def start(self, start):
        request = start.request
        act = request.prompt if isinstance(request, GenerateRequest) else ""
        for step in range(1, request.num_inference_steps + 1):
            time.sleep(STEP_SECONDS)
            if act == "poison" and step == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            if act == "refuse":
                raise ValueError("height=7: must be a multiple of 8")
            if act == "defect":
                raise RuntimeError("not for the client's eyes")
            yield Progress(phase="denoise", step=step, of=request.num_inference_steps)
            if getattr(request, "preview_interval", None) and step % request.preview_interval == 0:
                yield _preview(request, step, start.workdir)
        texts = _segment_texts(start.workdir)
        text = "\n".join(texts) or _make(request, start.workdir)
        text = start.account if act == "whose" else text
        draft = "a gun" if act == "sly" else None
        yield Done(
            text=text, draft=draft, segment_texts=texts, seed=request.seed, stage_durations={}
        )

    def explain(self, error):
        if isinstance(error, ValueError):
            return Failed(code="invalid_request", message=str(error))
        return Failed(code="internal_error", message="a defect of the server")


def _preview(request, step, workdir):
    name = f"preview-{step}.jpg"
    (workdir / name).write_bytes(_PICTURE)
    caption = " ".join(request.prompt.split()[:step])
    return Preview(step=step, of=request.num_inference_steps, caption=caption, frame=name)


def _make(request, workdir):
    if isinstance(request, GenerateRequest):
        (workdir / VIDEO_FILE).write_bytes(b"a video of " + request.prompt.encode())
        (workdir / THUMBNAIL_FILE).write_bytes(b"a thumbnail")
        (workdir / SPRITESHEET_FILE).write_bytes(b"a sprite sheet")
        return "caption of " + request.prompt
    return _describe(workdir / FRAMES_FILE)


def _segment_texts(workdir):
    return [_describe(path) for path in sorted(workdir.glob(SEGMENT_FILES))]


def _describe(path):
    frames = np.load(path)
    return f"{frames.dtype} {frames.shape}, mean {round(frames.mean())}"


def main(run_folder, parent_pid, pipe):
    run = RunFolder(Path(run_folder))
    enter_child(int(parent_pid), "INFO")
    serve(run, StandIn(), CAPABILITIES, Pulse(int(pipe)))


if __name__ == "__main__":
    main(*sys.argv[1:])
