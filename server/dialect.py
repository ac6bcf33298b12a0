"""The dialect of `/v1/videos` as clients of other servers speak it, reduced to our own fields.

Fields that we cannot honour are accepted at the value that asks for nothing, and refused otherwise;
a server-side path is never taken from a request.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError

from server.bodies import Body, as_text, refuse_files
from server.errors import InvalidRequest, first_error, shown

Model = TypeVar("Model", bound=BaseModel)

#: objects, or their JSON, whose members mean the same as top-level fields; those win
_BAGS = ("video_params", "extra_params", "extra_body", "extra_json")

#: what others call a field of ours
_ALIASES = {"callback_url": "webhook_url"}

_SERVER_PATHS = ("output_path", "video_path", "image_path", "perf_dump_path", "model_path")

_OFF = ("false",)
_ONE = ("1",)
_UNSET = ("", "{}", "[]")

#: known fields that we cannot honour, and the values (as text) that ask for nothing
_NEUTRAL: dict[str, tuple[str, ...]] = {
    "n": _ONE,
    "num_outputs_per_prompt": _ONE,
    "quality": ("standard", "auto"),
    "response_format": ("json",),
    "true_cfg_scale": ("1", "1.0"),
    **dict.fromkeys(
        (
            "enable_frame_interpolation enable_teacache enable_upscaling enhance_prompt "
            "generate_audio generate_sound profile return_stage_metrics"
        ).split(),
        _OFF,
    ),
    **dict.fromkeys(
        (
            "aspect_ratio audio_reference boundary_ratio control_reference "
            "control_type diffusers_kwargs flow_shift frame_images frame_interpolation_exp "
            "frame_interpolation_model_path frame_interpolation_scale generator_device "
            "guidance_scale_2 image_reference input_reference input_references language lora "
            "max_sequence_length metadata negative_prompt output_compression output_quality "
            "reference_url resolution short_edge sound_duration source_audio source_video "
            "start_time_seconds task_type upscaling_scale video_reference video_url "
            "x264_preset"
        ).split(),
        _UNSET,
    ),
}


def validated(model: type[Model], body: Body) -> Model:
    """Check a body against a request model, once everything foreign is gone from it.

    Raises:
        InvalidRequest: naming the field, the value and what is allowed.
    """
    refuse_files(body)
    known = model.model_fields
    fields = _without_neutral(_unpacked(body.fields), known)
    for name in fields.keys() - known.keys():
        raise InvalidRequest(
            f"unknown field {name}; known: {', '.join(known)}", param=name, code="unknown_parameter"
        )
    try:
        if body.is_form:
            texts = {name: as_text(value) for name, value in fields.items()}
            return model.model_validate_strings(texts)
        return model.model_validate(fields, strict=True)
    except ValidationError as error:
        raise first_error(error.errors()) from error


def _unpacked(fields: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in fields.items() if name not in _BAGS}
    for name in _BAGS:
        for inner, value in _members(name, fields.get(name, {})).items():
            if value is not None:
                plain.setdefault(inner, value)
    return {_ALIASES.get(name, name): value for name, value in plain.items()}


def _members(name: str, value: Any) -> dict[str, Any]:
    try:
        members = pydantic_core.from_json(value) if isinstance(value, str) else value
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise InvalidRequest(f"{name} must be an object, got {shown(value)}", param=name)
    return members


def _without_neutral(fields: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    kept = {}
    for name, value in fields.items():
        if name in _SERVER_PATHS:
            raise InvalidRequest(
                f"{name} is a path on the server and never taken from a request",
                param=name,
                code="unsupported_parameter",
            )
        if name in known or name not in _NEUTRAL:
            kept[name] = value
        elif as_text(value).lower() not in _NEUTRAL[name]:
            raise InvalidRequest(
                f"{name} {shown(value)} is not supported; leave the field out",
                param=name,
                code="unsupported_parameter",
            )
    return kept
