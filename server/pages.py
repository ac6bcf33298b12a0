"""Pages of lists that can be asked for by status."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Protocol, TypeVar

from fastapi import Query

State = TypeVar("State")

StatusQuery = Annotated[
    list[State],
    Query(default_factory=list, description="Only those in this state; may be given repeatedly"),
]
#: how the `openai` client and others write a list
BracketedStatusQuery = Annotated[
    list[State], Query(default_factory=list, alias="status[]", include_in_schema=False)
]


class _Record(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def status(self) -> str: ...


Record = TypeVar("Record", bound=_Record)


def read_page(
    list_ids: Callable[[int, str | None], list[str]],
    get_many: Callable[[list[str]], list[Record]],
    limit: int,
    after: str | None,
    statuses: Collection[str],
) -> tuple[list[Record], bool]:
    """Return up to `limit` records behind the id `after`, and whether there are more.

    What leaves its state, or is deleted, between the look at the list and the look at the record
    makes room for the next.

    Args:
        list_ids: returns so many ids at most behind an id.
        get_many: returns the records that exist.
        limit: of the page.
        after: None for the first page.
        statuses: those wanted; none means all.
    """
    found: list[Record] = []
    while (wanted := limit + 1 - len(found)) > 0:
        ids = list_ids(wanted, after)
        records = get_many(ids)
        found += [record for record in records if not statuses or record.status in statuses]
        if len(ids) < wanted:
            break
        # nothing is behind an id that was deleted meanwhile
        after = records[-1].id if records else ids[-1]
    return found[:limit], len(found) > limit
