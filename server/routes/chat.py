"""`/v1/chat/completions`: a clip in a message is captioned, or a question about it answered.

Behind every answer is a caption job. A stream has the whole text in one delta: what a denoiser has
of a text before the end is no beginning of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse

from contract.records import JobRecord
from server import routing
from server.bodies import InjectedLongBody
from server.chat_completion import ChatCompletion, chunk, completion, event
from server.chat_request import ChatCreate, caption_body, chat_request
from server.errors import ServerError, error_response
from server.openapi import json_schema
from server.repeats import InjectedOrigin
from server.services import InjectedServices, Services
from server.starting import start_caption
from server.waiting import check_answer, until_ended

router = routing.keyed_router("/v1/chat", "captions")

MAX_SECONDS = 300
#: between two signs of life in a stream
_BREATH_SECONDS = 10


@router.post(
    "/completions",
    openapi_extra=json_schema(ChatCreate),
    response_class=Response,
    responses={
        200: {
            "model": ChatCompletion,
            "content": {"text/event-stream": {}},
            "description": "The completion, or its chunks as events",
        }
    },
)
async def create_chat_completion(
    services: InjectedServices, origin: InjectedOrigin, body: InjectedLongBody
) -> Response:
    """Caption the video in the messages, or answer the question about it."""
    chat = chat_request(body)
    record = await run_in_threadpool(lambda: start_caption(services, origin, caption_body(chat)))
    headers = {"x-job-id": record.id}
    if chat.stream:
        chunks = _stream(services, record, chat)
        return StreamingResponse(chunks, headers=headers, media_type="text/event-stream")
    record = await until_ended(services, record, MAX_SECONDS)
    check_answer(record)
    return JSONResponse(completion(record).model_dump(), headers=headers)


async def _stream(
    services: Services, record: JobRecord, chat: ChatCreate
) -> AsyncIterator[str | bytes]:
    yield event(chunk(record, {"role": "assistant", "content": ""}))
    try:
        for _ in range(MAX_SECONDS // _BREATH_SECONDS):
            record = await until_ended(services, record, _BREATH_SECONDS)
            if record.status.is_terminal:
                break
            yield ": still working\n\n"
        check_answer(record)
    except ServerError as error:
        yield b"data: " + bytes(error_response(error).body) + b"\n\n"
        return
    whole = completion(record)
    yield event(chunk(record, {"content": whole.choices[0].message.content}))
    yield event(chunk(record, {}, finish_reason="stop"))
    if chat.stream_options and chat.stream_options.include_usage:
        usage: dict[str, Any] = {"choices": [], "usage": whole.usage.model_dump()}
        yield event(chunk(record, {}) | usage)
    yield "data: [DONE]\n\n"
