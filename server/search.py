"""Finds jobs by the words of their texts and prompts, without keeping an index.

The texts of an account's latest jobs are read and searched anew with every request: any replica
can do that, and nothing has to be kept in step with jobs that end and expire.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from contract.full_text import TABLE, create_table, matching_rows
from contract.queues import QUEUES
from contract.records import JobRecord
from contract.requests import GenerateRequest
from server.services import Services

#: jobs of each kind that are looked at, newest first
MAX_JOBS = 5000
_PAGE = 500


def find_jobs(services: Services, account: str, query: str, limit: int) -> list[JobRecord]:
    """Return the completed jobs of an account that have every word of a query, best first."""
    records = [record for record in _latest(services, account) if text_of(record) is not None]
    with closing(sqlite3.connect(":memory:")) as connection:
        create_table(connection, "text", "prompt")
        connection.executemany(
            f"INSERT INTO {TABLE} (rowid, text, prompt) VALUES (?, ?, ?)",
            [(at, text_of(record), prompt_of(record)) for at, record in enumerate(records)],
        )
        return [records[at] for at in matching_rows(connection, query, limit)]


def text_of(record: JobRecord) -> str | None:
    """Return the caption or answer of a job, if it has one."""
    return record.result.text if record.result else None


def prompt_of(record: JobRecord) -> str | None:
    """Return what was asked: the prompt of a video, the instruction of a caption."""
    request = record.parsed_request()
    return request.prompt if isinstance(request, GenerateRequest) else request.instruction


def _latest(services: Services, account: str) -> Iterator[JobRecord]:
    jobs = services.jobs
    for kind in QUEUES:
        ids = jobs.list_ids(kind, MAX_JOBS, after=None, newest_first=True, account=account)
        for start in range(0, len(ids), _PAGE):
            yield from jobs.get_many(ids[start : start + _PAGE])
