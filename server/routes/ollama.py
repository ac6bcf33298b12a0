"""`/api`: captions for software that speaks to Ollama."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from server import ollama, routing
from server.bodies import InjectedLongBody
from server.errors import InvalidRequest
from server.fields import check_model
from server.openapi import json_schema
from server.repeats import InjectedOrigin, Origin
from server.routes.chat import MAX_SECONDS
from server.services import InjectedServices, Services
from server.starting import start_caption
from server.waiting import check_answer, until_ended

router = routing.keyed_router("/api", "ollama")


@router.post("/generate", openapi_extra=json_schema(ollama.GenerateAsk), response_class=Response)
async def generate(
    services: InjectedServices, origin: InjectedOrigin, body: InjectedLongBody
) -> Response:
    """Caption pictures, or answer the question about them; without either, do nothing."""
    ask = ollama.parse(ollama.GenerateAsk, body)
    if not ask.images and not ask.question:
        return _lines([ollama.answer(ask, "") | {"done": True, "done_reason": "load"}])
    return await _answer(services, origin, ask)


@router.post("/chat", openapi_extra=json_schema(ollama.ChatAsk), response_class=Response)
async def chat(
    services: InjectedServices, origin: InjectedOrigin, body: InjectedLongBody
) -> Response:
    """Do the same for the pictures in messages."""
    return await _answer(services, origin, ollama.parse(ollama.ChatAsk, body))


@router.get("/tags")
def list_tags(services: InjectedServices) -> dict[str, Any]:
    """List the loaded model."""
    return {"models": [ollama.description(services.capabilities())]}


@router.post("/show")
def show(services: InjectedServices, body: InjectedLongBody) -> dict[str, Any]:
    """Say what the loaded model can do."""
    capabilities = services.capabilities()
    name = body.fields.get("model", body.fields.get("name"))
    if not isinstance(name, str):
        raise InvalidRequest("model is required", param="model", code="missing_required_parameter")
    check_model(ollama.model_id(name), capabilities)
    found = ollama.description(capabilities)
    return {
        "details": found["details"],
        "model_info": {"general.architecture": found["details"]["family"]},
        "capabilities": ["completion", "vision"],
        "modified_at": found["modified_at"],
    }


@router.get("/version")
def version() -> dict[str, str]:
    """Say which Ollama this stands in for."""
    return {"version": ollama.VERSION}


async def _answer(
    services: Services, origin: Origin, ask: ollama.GenerateAsk | ollama.ChatAsk
) -> Response:
    body = await run_in_threadpool(ollama.caption_body, ask)
    record = await run_in_threadpool(start_caption, services, origin, body)
    record = await until_ended(services, record, MAX_SECONDS)
    check_answer(record)
    text = (record.result and record.result.text) or ""
    last = ollama.ending(ask, record)
    if ask.stream:
        whole = [ollama.answer(ask, text) | {"done": False}, ollama.answer(ask, "") | last]
    else:
        whole = [ollama.answer(ask, text) | last]
    return _lines(whole, {"x-job-id": record.id})


def _lines(messages: list[dict[str, Any]], headers: dict[str, str] | None = None) -> Response:
    if len(messages) == 1:
        return JSONResponse(messages[0], headers=headers)
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    return Response(lines, headers=headers, media_type="application/x-ndjson")
