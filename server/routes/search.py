"""`/v1/search`: jobs by the words of their captions."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from contract.records import JobRecord
from server import routing
from server.auth import Account
from server.jobs import NAMES
from server.search import find_jobs, prompt_of, text_of
from server.services import InjectedServices

router = routing.keyed_router("/v1", "search")


class Hit(BaseModel):
    """A completed job that has every word of the query."""

    id: str
    object: Literal["video", "caption"]
    text: str = Field(description="The caption, or the answer to an instruction")
    prompt: str | None = Field(description="The prompt of a video, the instruction of a caption")
    created_at: int
    url: str = Field(description="Where the job is")


class HitList(BaseModel):
    """What a search has found, best first."""

    object: Literal["list"] = "list"
    data: list[Hit]


@router.get("/search")
def search_jobs(
    services: InjectedServices,
    account: Account,
    q: Annotated[
        str,
        Query(
            min_length=1,
            max_length=1000,
            description="Words, all of which the text or the prompt has, in any of their forms",
        ),
    ],
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs at most")] = 20,
) -> HitList:
    """Search the captions of one's own jobs; the oldest beyond some thousands are left out."""
    return HitList(data=[_hit(record) for record in find_jobs(services, account, q, limit)])


def _hit(record: JobRecord) -> Hit:
    name = NAMES[record.kind]
    return Hit(
        id=record.id,
        object=name,
        text=text_of(record) or "",
        prompt=prompt_of(record),
        created_at=int(record.created_at),
        url=f"/v1/{name}s/{record.id}",
    )
