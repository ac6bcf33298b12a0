"""The part of Ollama's API that software for photo and video libraries uses to caption pictures.

The pictures of a request are the frames of one clip. Fields that are not here are not looked at, as
Ollama does it: its clients send some of their own, and those that shape a text token by token.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.records import JobRecord
from contract.requests import MAX_SEED, Capabilities
from server.bodies import Body
from server.errors import InvalidRequest, first_error
from server.fields import MODEL_ID
from server.pictures import pictures_upload

#: whose API this is
VERSION = "0.12.0"
TAG = f"{MODEL_ID}:latest"


class Options(BaseModel):
    """How to make the text."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Same seed, same text")


class _Ask(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str = Field(description=f"`{MODEL_ID}`, `{TAG}`, or the checkpoint's own name")
    stream: bool = Field(default=True, description="Answer as lines of JSON")
    options: Options | None = Field(default=None, description="`seed` alone is used")
    format: Literal[""] | None = Field(default=None, description="Text is the one format")


class GenerateAsk(_Ask):
    """A question about some pictures."""

    prompt: str = Field(default="", description="The question; without one they are captioned")
    system: str = Field(default="", description="Put before the question")
    images: list[str] = Field(default_factory=list, description="Frames of a clip, in base64")

    @property
    def question(self) -> str:
        """System text and prompt, one to a line."""
        return _lines([self.system, self.prompt])


class ChatMessage(BaseModel):
    """One message; there is no memory of earlier answers."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Literal["system", "user"]
    content: str = ""
    images: list[str] = Field(default_factory=list)


class ChatAsk(_Ask):
    """A conversation about some pictures."""

    messages: list[ChatMessage] = Field(description="All texts together are the question")

    @property
    def question(self) -> str:
        """All texts, one to a line."""
        return _lines([message.content for message in self.messages])

    @property
    def images(self) -> list[str]:
        """All pictures, in order."""
        return [picture for message in self.messages for picture in message.images]


def model_id(name: str) -> str:
    """Return our name of a model that may carry a tag."""
    return name.removesuffix(":latest")


def parse(model: type[GenerateAsk] | type[ChatAsk], body: Body) -> GenerateAsk | ChatAsk:
    """Check the fields of a request.

    Raises:
        InvalidRequest: naming the field, the value and what is allowed.
    """
    try:
        return model.model_validate(body.fields, strict=True)
    except ValidationError as error:
        raise first_error(error.errors()) from error


def caption_body(ask: GenerateAsk | ChatAsk) -> Body:
    """Return the caption request that a request amounts to.

    Raises:
        InvalidRequest: if there is no picture, or one of them is not base64.
    """
    if not ask.images:
        raise InvalidRequest(
            "images is empty; at least one picture is needed",
            param="images",
            code="missing_required_parameter",
        )
    fields: dict[str, Any] = {"model": model_id(ask.model), "instruction": ask.question or None}
    fields |= {"seed": ask.options.seed if ask.options else None}
    given = {name: value for name, value in fields.items() if value is not None}
    return Body(given, files={"video": pictures_upload(ask.images, "images")})


def answer(ask: GenerateAsk | ChatAsk, text: str) -> dict[str, Any]:
    """Return what every message of an answer has, with this text in it."""
    named = {"model": ask.model, "created_at": datetime.now(UTC).isoformat()}
    if isinstance(ask, ChatAsk):
        return named | {"message": {"role": "assistant", "content": text}}
    return named | {"response": text}


def ending(ask: GenerateAsk | ChatAsk, record: JobRecord) -> dict[str, Any]:
    """Return what only the last message has; times are in nanoseconds, lengths in words."""
    text = (record.result and record.result.text) or ""
    started = record.started_at or record.created_at
    ended = record.completed_at or time.time()
    return {
        "done": True,
        "done_reason": "stop",
        "total_duration": round((ended - record.created_at) * 1e9),
        "load_duration": 0,
        "prompt_eval_count": len(ask.question.split()),
        "eval_count": len(text.split()),
        "eval_duration": round((ended - started) * 1e9),
    }


def description(capabilities: Capabilities) -> dict[str, Any]:
    """Return the loaded model as Ollama lists one."""
    name, _, digest = capabilities.checkpoint.partition("@")
    details = {"format": "safetensors", "family": name, "families": [name]}
    details |= {"parent_model": "", "parameter_size": "", "quantization_level": ""}
    return {
        "name": TAG,
        "model": TAG,
        "modified_at": datetime.fromtimestamp(0, UTC).isoformat(),
        "size": 0,
        "digest": digest,
        "details": details,
    }


def _lines(texts: list[str]) -> str:
    return "\n".join(text for text in texts if text.strip())
