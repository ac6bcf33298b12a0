"""What the engine says of savings that may have changed a result."""

import numpy as np
import pytest
from tiny_models import tiny_pipeline

from contract.requests import Approximation, GenerateRequest, UnderstandRequest
from model.fp8 import quantize_linears
from worker.engine.jobs import run_generate, run_understand
from worker.engine.sharing import SharedStep
from worker.protocol import SEGMENT_FILES

STEPS = 4
FP8 = Approximation(name="fp8_linears")


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def told_of_video(pipeline, workdir, **fields):
    shape = {"height": 32, "width": 32, "num_frames": 5, "fps": 8}
    asked = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "seed": 0, "prompt": "a ball"}
    request = GenerateRequest(**(shape | asked | fields))
    *_, done = run_generate(pipeline, "tiny@0", request, workdir)
    return done.approximations


def told_of_caption(pipeline, workdir, clips=2, **fields):
    for index in range(clips):
        name = SEGMENT_FILES.replace("*", f"{index:03d}")
        np.save(workdir / name, np.full((5, 32, 32, 3), 80 * index, np.uint8))
    request = UnderstandRequest(source="", seed=0, num_inference_steps=STEPS, **fields)
    messages = list(run_understand(pipeline, request, workdir))
    assert any(isinstance(message, SharedStep) for message in messages)
    return messages[-1].approximations


def test_nothing_is_told_of_an_exact_result(pipeline, tmp_path):
    assert told_of_video(pipeline, tmp_path) == []
    assert told_of_caption(pipeline, tmp_path) == []


def test_feature_cache_tells_the_passes_of_both_branches(pipeline, tmp_path):
    (none,) = told_of_video(pipeline, tmp_path, feature_cache_threshold=1e-9)
    assert (none.reused, none.of) == (0, 2 * STEPS)
    (some,) = told_of_video(pipeline, tmp_path, feature_cache_threshold=1.0, mode="video_only")
    assert (some.name, some.setting, some.of) == ("feature_cache", 1.0, 2 * STEPS)
    assert 0 < some.reused < some.of


def test_video_refresh_tells_the_steps_of_all_segments(pipeline, tmp_path):
    told = told_of_caption(pipeline, tmp_path, clips=3, video_refresh_interval=2)
    assert told == [Approximation(name="video_refresh", setting=2, reused=6, of=12)]


def test_network_in_8_bits_tells_so_of_everything(tmp_path):
    pipeline = tiny_pipeline()
    quantize_linears(pipeline.transformer.blocks)
    assert told_of_video(pipeline, tmp_path) == [FP8]
    told = told_of_caption(pipeline, tmp_path, video_refresh_interval=2)
    assert [one.name for one in told] == ["video_refresh", "fp8_linears"]
