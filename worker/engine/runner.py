"""Joins the loop to the model: loads it, warms it up, makes jobs and explains their failures."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from contract.requests import Capabilities, GenerateRequest, UnderstandRequest
from model import UniViGUPipeline
from model.checkpoint import fingerprint
from model.memory import Need, generation_need, understanding_need
from model.optimize import optimize
from worker.engine.admission import Admission
from worker.engine.device import (
    choose_device,
    choose_dtype,
    free_memory,
    held_memory,
    release_memory,
)
from worker.engine.explain import explain
from worker.engine.jobs import run_generate, run_understand
from worker.engine.running import Steps
from worker.protocol import FRAMES_FILE, Failed, Start
from worker.settings import WorkerSettings

#: a GPU that holds this many times what it held when warm is not clean
_CLEAN = 1.05


class ModelRunner:
    """The resident model.

    Args:
        settings: which checkpoint, on what device, in which precision.

    Raises:
        OSError: if there is no checkpoint, or a part of it is missing.
        ValueError: if its parts do not fit together, there is no such attention kernel, or
            no CUDA graphs or 8-bit products here.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        path = settings.checkpoint
        self._checkpoint = f"{path.resolve().name}@{fingerprint(path)}"
        self._settings = settings
        self._device = device = choose_device(settings.device)
        if device.type == "cuda":
            torch.cuda.set_device(device)  # whose memory is asked for without a name
        if settings.num_threads is not None:
            torch.set_num_threads(settings.num_threads)
        self._pipeline = UniViGUPipeline.from_pretrained(path, dtype=choose_dtype(settings, device))
        self._pipeline.to(device)
        optimize(
            self._pipeline,
            compiler="inductor" if settings.compile_blocks else None,
            cuda_graphs=settings.cuda_graphs,
            fuse_projections=settings.fuse_projections,
            attention_backend=settings.attention_backend,
            fp8_linears=settings.fp8_linears,
        )

    def capabilities(self) -> Capabilities:
        """Return what the checkpoint says that it can do."""
        serving = self._pipeline.config.serving
        return Capabilities(
            checkpoint=self._checkpoint,
            sizes=[(height, width) for height, width in serving["sizes"]],
            max_num_frames=serving["max_num_frames"],
            default_num_frames=serving["num_frames"],
            fps=serving["fps"],
            default_num_inference_steps=serving["num_inference_steps"],
            default_understand_steps=serving["understand_steps"],
            max_num_inference_steps=serving["max_num_inference_steps"],
            default_guidance_scale=float(serving["guidance_scale"]),
            temporal_compression=self._pipeline.temporal_compression,
            max_prompt_tokens=self._pipeline.max_prompt_tokens,
            has_video_refresh=self._pipeline.looks_in_every_step,
        )

    def warm_up(self, scratch: Path) -> None:
        """Run one step of each kind at the default size, so that no client waits for it."""
        can = self.capabilities()
        (height, width), frames = can.sizes[0], can.default_num_frames
        generate = GenerateRequest(
            prompt="warm up",
            seed=0,
            height=height,
            width=width,
            num_frames=frames,
            fps=can.fps,
            num_inference_steps=1,
            guidance_scale=can.default_guidance_scale,
        )
        understand = UnderstandRequest(source="", seed=0, num_inference_steps=1)
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            workdir = Path(folder)
            np.save(workdir / FRAMES_FILE, np.zeros((frames, height, width, 3), np.uint8))
            for request in (generate, understand):
                for _ in self.start(Start(id="", attempt=0, request=request, workdir=workdir)):
                    pass

    def start(self, start: Start) -> Steps:
        """Return the steps of a job."""
        if isinstance(start.request, GenerateRequest):
            return run_generate(self._pipeline, self._checkpoint, start.request, start.workdir)
        return run_understand(self._pipeline, start.request, start.workdir)

    def admission(self) -> Admission:
        """Share out the memory that the warm model leaves, a part of it to what may come again."""
        budget = self._settings.memory_bytes or free_memory(self._device) * 9 // 10
        kept = self._settings.cache_bytes
        kept = min(budget // 10 if kept is None else kept, budget)
        resting = held_memory(self._device)

        def release() -> bool:
            self._keep(0)
            release_memory(self._device)
            self._keep(kept)
            return held_memory(self._device) <= resting * _CLEAN

        self._keep(kept)
        return Admission(budget - kept, self._need, release)

    def _keep(self, num_bytes: int) -> None:
        prompts = num_bytes // 8
        self._pipeline.prompts.limit(prompts)
        self._pipeline.clips.limit(num_bytes - prompts)

    def _need(self, start: Start) -> Need:
        request, can = start.request, self.capabilities()
        parts = self._pipeline.transformer, self._pipeline.vae
        if isinstance(request, GenerateRequest):
            shape = request.num_frames, request.height, request.width
            drafts = request.mode == "joint" and self._pipeline.config.serving["draft_above"] > 0
            has_features = request.feature_cache_threshold is not None
            return generation_need(*parts, *shape, has_draft=drafts, has_feature_cache=has_features)
        return understanding_need(*parts, can.default_num_frames, *can.sizes[0])

    def explain(self, error: Exception) -> Failed:
        """Say in the client's words why a step failed."""
        return explain(error)
