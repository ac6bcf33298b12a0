from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from contract.requests import GenerateRequest, UnderstandRequest
from worker.engine.runner import ModelRunner
from worker.engine.running import RunningJob
from worker.protocol import Start
from worker.settings import WorkerSettings


def test_folder_without_a_checkpoint_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}.*model_index.json"):
        ModelRunner(WorkerSettings(checkpoint=tmp_path))


def test_capabilities_are_the_checkpoint_s_own(tiny_checkpoint):
    can = ModelRunner(WorkerSettings(checkpoint=tiny_checkpoint, device="cpu")).capabilities()
    name, _, fingerprint = can.checkpoint.partition("@")
    assert name == "tiny"
    assert len(fingerprint) == 12
    assert can.default_num_frames == can.max_num_frames
    assert (can.default_num_frames - 1) % can.temporal_compression == 0


def test_8_bits_are_refused_without_a_gpu(tiny_checkpoint):
    with pytest.raises(ValueError, match="fp8_linears: device cpu is no GPU"):
        ModelRunner(WorkerSettings(checkpoint=tiny_checkpoint, device="cpu", fp8_linears=True))


@pytest.fixture(scope="module")
def runner(tiny_checkpoint):
    return ModelRunner(WorkerSettings(checkpoint=tiny_checkpoint, device="cpu"))


def settled(runner, **settings):
    """Return the runner and its admission under other settings."""
    runner._settings = runner._settings.model_copy(update=settings)
    return runner.admission()


def waiting(request):
    connection = SimpleNamespace(close=lambda: None)
    return RunningJob(connection, Start(id="j", attempt=1, request=request, workdir=Path()), None)


def request(**fields):
    shape = {"height": 32, "width": 32, "num_frames": 5, "fps": 8}
    steps = {"num_inference_steps": 1, "guidance_scale": 1.0}
    return GenerateRequest(**({"prompt": "a", "seed": 0} | shape | steps | fields))


def test_job_that_needs_more_than_there_is_memory_is_refused(runner):
    gate = settled(runner, memory_bytes=8 << 20, cache_bytes=0)
    small, large = waiting(request()), waiting(request(height=640, width=640, num_frames=81))
    gate.let_in([large, small])
    assert small.is_let_in
    assert large.final.code == "out_of_memory"
    assert large.final.message.endswith("the engine has 8 MB for jobs")


def test_memory_of_the_machine_is_what_jobs_get_by_default(runner):
    job = waiting(UnderstandRequest(source="s", seed=0, num_inference_steps=1))
    settled(runner, memory_bytes=None, cache_bytes=None).let_in([job])
    assert job.is_let_in


def test_after_an_exhaustion_nothing_is_kept_of_earlier_clips(runner):
    gate = settled(runner, memory_bytes=1 << 30, cache_bytes=1 << 20)
    pipeline = runner._pipeline
    clip = np.zeros((5, 32, 32, 3), np.uint8)
    with torch.inference_mode():
        pipeline.encode_condition("a red circle")
        pipeline.understand(clip, seed=0)
        assert pipeline.prompts.num_bytes > 0
        gate.exhausted([waiting(request())])
        assert pipeline.prompts.num_bytes == pipeline.clips.num_bytes == 0
        pipeline.encode_condition("a red circle")
    assert pipeline.prompts.num_bytes > 0
