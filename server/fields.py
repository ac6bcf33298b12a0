"""Request fields that several endpoints share."""

from __future__ import annotations

import secrets
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from contract.requests import MAX_PROMPT_CHARACTERS, MAX_SEED, Capabilities
from contract.webhooks import MAX_URL_CHARACTERS
from server.errors import InvalidRequest

MODEL_ID = "univigu"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _decimal(value: Any) -> Decimal:
    """Take a number or its text, so that 0.7 means seven tenths and not a float near it."""
    try:
        if type(value) in (int, float, str):
            return Decimal(str(value))
    except InvalidOperation:
        pass
    raise ValueError("must be a number of seconds")


Text = Annotated[
    str, Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS), AfterValidator(_not_blank)
]
WebhookUrl = Annotated[str, Field(max_length=MAX_URL_CHARACTERS)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Seconds = Annotated[
    Decimal,
    BeforeValidator(_decimal, json_schema_input_type=float | str),
    Field(gt=0, le=86_400),
]


def check_model(model: str | None, capabilities: Capabilities) -> None:
    """Refuse a model that is not the loaded one.

    Raises:
        InvalidRequest: if the name is neither `univigu` nor the checkpoint's own.
    """
    known = (MODEL_ID, capabilities.checkpoint)
    if model is not None and model not in known:
        raise InvalidRequest(
            f"model {model!r} is not loaded; allowed: {', '.join(known)}",
            param="model",
            code="model_not_found",
        )


def check_steps(steps: int | None, default: int, capabilities: Capabilities) -> int:
    """Return the number of denoising steps, the default where none was asked for.

    Raises:
        InvalidRequest: if there are more than the server takes.
    """
    limit = capabilities.max_num_inference_steps
    if steps is not None and steps > limit:
        raise InvalidRequest(
            f"num_inference_steps {steps} is over the limit; allowed: 1 to {limit}",
            param="num_inference_steps",
        )
    return default if steps is None else steps


def pick_seed(seed: int | None) -> int:
    """Return the seed asked for, or a random one small enough for every JSON reader."""
    return secrets.randbelow(2**32) if seed is None else seed
