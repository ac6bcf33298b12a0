"""A caption job as OpenAI's chat completion and as the chunks of a streamed one."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, Field

from contract.records import JobRecord
from contract.requests import UnderstandRequest
from server.fields import MODEL_ID


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    """The one answer there is."""

    index: int = 0
    message: AssistantMessage
    finish_reason: Literal["stop"] = "stop"


class Usage(BaseModel):
    """How much was read and written, in words: this process has no tokenizer."""

    prompt_tokens: int = Field(description="Words of the question")
    completion_tokens: int = Field(description="Words of the answer")
    total_tokens: int


class ChatCompletion(BaseModel):
    """The answer to a chat request."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str = MODEL_ID
    choices: list[Choice]
    usage: Usage


def completion(record: JobRecord) -> ChatCompletion:
    """Return the completion of a completed job."""
    request = record.parsed_request()
    assert isinstance(request, UnderstandRequest)
    text = (record.result and record.result.text) or ""
    asked, answered = len((request.instruction or "").split()), len(text.split())
    return ChatCompletion(
        id=f"chatcmpl-{record.id}",
        created=int(record.created_at),
        choices=[Choice(message=AssistantMessage(content=text))],
        usage=Usage(prompt_tokens=asked, completion_tokens=answered, total_tokens=asked + answered),
    )


def chunk(
    record: JobRecord, delta: dict[str, str], finish_reason: str | None = None
) -> dict[str, Any]:
    """Return one piece of a streamed completion."""
    return {
        "id": f"chatcmpl-{record.id}",
        "object": "chat.completion.chunk",
        "created": int(record.created_at),
        "model": MODEL_ID,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def event(data: dict[str, Any]) -> str:
    """Return a server-sent event without a name, as chat clients expect."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
