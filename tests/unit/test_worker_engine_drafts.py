"""What the engine tells of a draft that took the prompt's place, for the content policy."""

import pytest
from tiny_models import tiny_pipeline

from contract.requests import GenerateRequest
from worker.engine.jobs import run_generate


def made(pipeline, workdir, **fields):
    shape = {"height": 32, "width": 32, "num_frames": 5, "fps": 8, "guidance_scale": 3.0}
    asked = {"prompt": "a ball", "seed": 0, "num_inference_steps": 6, "preview_interval": 1}
    request = GenerateRequest(**(shape | asked | fields))
    *steps, done = run_generate(pipeline, "tiny@0", request, workdir)
    return [step.caption for step in steps if step.type == "preview"], done


@pytest.mark.parametrize("rereads", [False, True])
def test_the_text_that_a_video_was_made_from_is_told(rereads, tmp_path):
    pipeline = tiny_pipeline()
    pipeline.config.serving.update(draft_above=0.8, rereads_caption=rereads)
    captions, done = made(pipeline, tmp_path)
    assert done.draft == captions[-2]
    assert (done.draft == done.text) != rereads


@pytest.mark.parametrize(("draft_above", "mode"), [(0.0, "joint"), (0.8, "text_to_video")])
def test_where_the_prompt_kept_its_place_there_is_no_draft_to_tell(draft_above, mode, tmp_path):
    pipeline = tiny_pipeline()
    pipeline.config.serving["draft_above"] = draft_above
    assert made(pipeline, tmp_path, mode=mode)[1].draft is None
