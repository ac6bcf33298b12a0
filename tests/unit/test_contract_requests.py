"""Stored requests and results survive their JSON, and refuse what a job must never mean."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contract.requests import (
    MAX_PROMPT_CHARACTERS,
    MAX_SEED,
    Capabilities,
    GenerateRequest,
    JobRequest,
    UnderstandRequest,
)

GENERATE = {
    "prompt": "a red circle",
    "seed": 1,
    "height": 64,
    "width": 96,
    "num_frames": 9,
    "fps": 8,
    "num_inference_steps": 20,
    "guidance_scale": 4.5,
}


@pytest.mark.parametrize(
    "request_",
    [
        GenerateRequest(**GENERATE),
        UnderstandRequest(source="uploads/x/source", seed=0, num_inference_steps=4),
    ],
)
def test_a_request_is_read_back_as_its_own_kind(request_: JobRequest) -> None:
    adapter: TypeAdapter[JobRequest] = TypeAdapter(JobRequest)
    assert adapter.validate_json(request_.model_dump_json()) == request_


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 0),
        ("seed", MAX_SEED),
        ("prompt", "x" * MAX_PROMPT_CHARACTERS),
        ("guidance_scale", 0.0),
        ("num_frames", 1),
    ],
)
def test_a_value_at_its_limit_is_taken(field: str, value: Any) -> None:
    assert getattr(GenerateRequest(**GENERATE | {field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", MAX_SEED + 1),
        ("prompt", ""),
        ("prompt", "x" * (MAX_PROMPT_CHARACTERS + 1)),
        ("guidance_scale", -0.1),
        ("num_frames", 0),
        ("height", "64"),
        ("mode", "understand"),
        ("output_path", "/tmp/x"),
    ],
)
def test_a_value_past_its_limit_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        GenerateRequest(**GENERATE | {field: value})


def test_capabilities_without_a_size_are_refused() -> None:
    with pytest.raises(ValidationError, match="sizes"):
        Capabilities(
            checkpoint="x",
            sizes=[],
            max_num_frames=17,
            default_num_frames=9,
            fps=8,
            default_num_inference_steps=20,
            default_understand_steps=12,
            max_num_inference_steps=100,
            default_guidance_scale=4.5,
            temporal_compression=4,
            max_prompt_tokens=64,
        )
