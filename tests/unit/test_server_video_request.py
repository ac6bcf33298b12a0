"""How a video request becomes a job: defaults, precedence, arithmetic and limits."""

import re
from typing import Any

import pytest
from server_apps import CAPABILITIES

from contract.requests import MAX_PROMPT_CHARACTERS, MAX_SEED, GenerateRequest
from server.bodies import Body
from server.dialect import validated
from server.errors import InvalidRequest
from server.video_request import VideoCreate, generate_request


def parsed(is_form: bool = False, **fields: Any) -> GenerateRequest:
    body = Body({"prompt": "a red circle", **fields}, is_form=is_form)
    return generate_request(validated(VideoCreate, body), CAPABILITIES)


def refusal(is_form: bool = False, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parsed(is_form, **fields)
    return caught.value


def test_a_bare_prompt_gets_the_defaults_of_the_checkpoint() -> None:
    request = parsed(seed=7)
    assert request == GenerateRequest(
        prompt="a red circle",
        mode="joint",
        seed=7,
        height=64,
        width=96,
        num_frames=9,
        fps=8,
        num_inference_steps=20,
        guidance_scale=4.5,
    )


def test_seeds_are_random_where_none_is_given() -> None:
    assert parsed().seed != parsed().seed


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"size": "64x64"}, (64, 64)),
        ({"width": 64, "height": 64}, (64, 64)),
        ({"size": "96x64", "width": 64, "height": 64}, (96, 64)),
        ({"width": 96, "height": 64, "video_params": {"width": 64}}, (96, 64)),
        ({"video_params": {"width": 64, "height": 64}}, (64, 64)),
        ({"extra_body": '{"width": 64, "height": 64}'}, (64, 64)),
    ],
)
def test_size_wins_over_width_and_height_and_those_over_video_params(
    fields: dict[str, Any], size: tuple[int, int]
) -> None:
    request = parsed(**fields)
    assert (request.width, request.height) == size


@pytest.mark.parametrize(
    ("seconds", "fps", "num_frames"),
    [
        (0.1, 8, 1),
        (0.49, 8, 1),
        (0.5, 8, 5),
        (1, 8, 9),
        ("1", 8, 9),
        ("1.99", 8, 13),
        (2, 8, 17),
        (2.4, 8, 17),
        (0.7, 20, 13),  # 0.7 * 20 is a float below 14
        (1.1, 10, 9),
    ],
)
def test_seconds_become_frames(seconds: Any, fps: int, num_frames: int) -> None:
    assert parsed(seconds=seconds, fps=fps).num_frames == num_frames
    assert parsed(is_form=True, seconds=str(seconds), fps=str(fps)).num_frames == num_frames


def test_num_frames_wins_over_seconds() -> None:
    assert parsed(num_frames=5, seconds=2).num_frames == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_frames", 1),
        ("num_frames", 17),
        ("num_inference_steps", 1),
        ("num_inference_steps", 100),
        ("fps", 1),
        ("fps", 60),
        ("seed", 0),
        ("seed", MAX_SEED),
        ("guidance_scale", 0),
        ("guidance_scale", 100),
        ("prompt", "x" * MAX_PROMPT_CHARACTERS),
        ("mode", "video_only"),
    ],
)
def test_a_value_at_its_limit_is_taken(field: str, value: Any) -> None:
    assert getattr(parsed(**{field: value}), field) == value
    assert getattr(parsed(is_form=True, **{field: str(value)}), field) == value


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"num_frames": 0}, "num_frames", "greater than 0, got 0"),
        ({"num_frames": 16}, "num_frames", "16 is not offered; allowed: 4k [+] 1, at most 17"),
        ({"num_frames": 21}, "num_frames", "21 is not offered"),
        ({"num_inference_steps": 0}, "num_inference_steps", "greater than 0, got 0"),
        ({"num_inference_steps": 101}, "num_inference_steps", "101 .* allowed: 1 to 100"),
        ({"fps": 0}, "fps", "greater than 0, got 0"),
        ({"fps": 61}, "fps", "less than or equal to 60, got 61"),
        ({"seed": -1}, "seed", "greater than or equal to 0, got -1"),
        ({"seed": MAX_SEED + 1}, "seed", f"less than or equal to {MAX_SEED}"),
        ({"guidance_scale": -0.1}, "guidance_scale", "greater than or equal to 0, got -0.1"),
        ({"guidance_scale": 100.5}, "guidance_scale", "less than or equal to 100, got 100.5"),
        ({"seconds": 0}, "seconds", "greater than 0"),
        ({"seconds": 2.5}, "seconds", "2.5 makes 21 frames at 8 fps.*at most 17 frames, 2 seconds"),
        ({"seconds": "soon"}, "seconds", "must be a number of seconds, got 'soon'"),
        ({"seconds": "1e999999999"}, "seconds", "less than or equal to 86400"),
        ({"seconds": "nan"}, "seconds", "finite"),
        ({"size": "64x96"}, "size", "64x96 is not offered; allowed: 96x64, 64x64"),
        ({"size": "big"}, "size", "got 'big'"),
        ({"width": 96, "height": 96}, "width", "96x96 is not offered"),
        ({"width": 64}, "height", "width and height go together"),
        ({"prompt": ""}, "prompt", "at least 1 character"),
        ({"prompt": " \n"}, "prompt", "must not be blank"),
        ({"prompt": "x" * (MAX_PROMPT_CHARACTERS + 1)}, "prompt", "at most 32000 characters"),
        ({"mode": "understand"}, "mode", "'joint', 'text_to_video' or 'video_only'"),
        ({"model": "sora-2"}, "model", "'sora-2' is not loaded; allowed: univigu, moving-shapes"),
    ],
)
def test_a_value_past_its_limit_is_refused_by_name(
    fields: dict[str, Any], param: str, message: str
) -> None:
    for error in (
        refusal(**fields),
        refusal(is_form=True, **{name: str(value) for name, value in fields.items()}),
    ):
        assert error.param == param
        assert error.message.startswith((param, "size", "width and height"))
    assert re.search(message, refusal(**fields).message)


@pytest.mark.parametrize("value", ["64", 64.5, True])
def test_json_numbers_are_numbers(value: object) -> None:
    assert refusal(num_frames=value).param == "num_frames"


def test_nan_is_no_guidance() -> None:
    assert refusal(is_form=True, guidance_scale="nan").param == "guidance_scale"


def test_a_missing_prompt_is_named() -> None:
    with pytest.raises(InvalidRequest, match="prompt is required") as caught:
        validated(VideoCreate, Body({}))
    assert (caught.value.param, caught.value.code) == ("prompt", "missing_required_parameter")


def test_an_unknown_field_is_named() -> None:
    error = refusal(num_frame=9)
    assert (error.param, error.code) == ("num_frame", "unknown_parameter")
    assert "num_frames" in error.message


@pytest.mark.parametrize("is_form", [False, True])
@pytest.mark.parametrize(
    ("field", "neutral", "asking"),
    [
        ("n", 1, 2),
        ("num_outputs_per_prompt", 1, 4),
        ("negative_prompt", "", "blurry"),
        ("enable_teacache", False, True),
        ("generate_audio", False, True),
        ("quality", "standard", "hd"),
        ("lora", {}, {"name": "x"}),
        ("input_references", [], ["https://example.org/a.png"]),
    ],
)
def test_a_known_field_passes_only_at_its_neutral_value(
    is_form: bool, field: str, neutral: object, asking: object
) -> None:
    assert parsed(is_form, **{field: neutral}).prompt == "a red circle"
    error = refusal(is_form, **{field: asking})
    assert (error.param, error.code) == (field, "unsupported_parameter")


@pytest.mark.parametrize("field", ["output_path", "video_path", "perf_dump_path"])
@pytest.mark.parametrize("value", ["/etc/passwd", ""])
def test_a_path_on_the_server_is_never_taken(field: str, value: str) -> None:
    assert refusal(**{field: value}).param == field


@pytest.mark.parametrize("value", ["{", "[1]", 3])
def test_a_bag_that_is_no_object_is_refused(value: object) -> None:
    assert refusal(extra_params=value).param == "extra_params"
