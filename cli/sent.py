"""What was sent to servers in batches, so that a call that was killed is gone on with.

A table in the index. A line is noted before its batch is made, by the key that makes the batch
once; so whatever dies in between, the batch is found again. Outcomes are noted before the server
is told to forget them, and forgotten here some time after they have become texts.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cli.items import BadOption
from univigu_client import ApiError, Job
from univigu_client.answers import read_job

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sent_lines (
    id INTEGER PRIMARY KEY,
    server TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    token TEXT NOT NULL,
    batch TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '',
    sent_at REAL NOT NULL,
    UNIQUE (server, key)
);
CREATE INDEX IF NOT EXISTS sent_lines_by_token ON sent_lines (token);
"""
_BUSY_SECONDS = 30.0
#: a batch lasts a day, and what it leaves there is looked for no longer than that
KEPT_SECONDS = 3 * 86_400
#: the same video may come a second time soon
_RECENT_SECONDS = 3600.0

#: the fields of a caption request
Body = dict[str, Any]
#: what comes of it
Outcome = Job | ApiError


@dataclass(frozen=True)
class Sent:
    """A line that was sent; `token` names its batch."""

    token: str
    body: Body
    outcome: Outcome | None


class SentLines:
    """The lines that were sent to one server; may be used by several threads.

    Args:
        path: of the index.
        server: its address.

    Raises:
        BadOption: if it cannot be opened.
    """

    def __init__(self, path: Path, server: str) -> None:
        self._lock, self._server = threading.Lock(), server
        try:
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
            self._connection.executescript(_SCHEMA)
            self._forget_before(time.time())
        except sqlite3.Error as error:
            raise BadOption(f"--index {path}: {error}") from error

    def __enter__(self) -> Self:
        """Return the table itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._connection.close()

    def note(self, token: str, bodies: Mapping[str, Body]) -> None:
        """Note the lines of a batch that is about to be made, by their keys."""
        now = time.time()
        rows = [(self._server, key, json.dumps(body), token, now) for key, body in bodies.items()]
        columns = "server, key, body, token, sent_at"
        query = f"INSERT OR REPLACE INTO sent_lines ({columns}) VALUES (?, ?, ?, ?, ?)"
        with self._lock, self._connection as connection:
            connection.executemany(query, rows)

    def confirm(self, token: str, batch_id: str) -> None:
        """Note that a batch has been made."""
        with self._lock, self._connection as connection:
            connection.execute("UPDATE sent_lines SET batch = ? WHERE token = ?", (batch_id, token))

    def settle(self, token: str, outcomes: Mapping[str, Outcome]) -> None:
        """Note what has come of the lines of a batch, by their keys."""
        rows = [(_written(outcome), token, key) for key, outcome in outcomes.items()]
        with self._lock, self._connection as connection:
            query = "UPDATE sent_lines SET outcome = ? WHERE token = ? AND key = ?"
            connection.executemany(query, rows)
        self._forget_before(time.time() - _RECENT_SECONDS)

    def find(self, key: str) -> Sent | None:
        """Return a line that was sent."""
        query = "SELECT token, body, outcome FROM sent_lines WHERE server = ? AND key = ?"
        rows = self._rows(query, self._server, key)
        if not rows:
            return None
        token, body, outcome = rows[0]
        return Sent(token, json.loads(body), _read(outcome) if outcome else None)

    def batch_of(self, token: str) -> tuple[str, dict[str, Body]]:
        """Return the id of a batch, empty if it may not have been made, and its lines in order."""
        rows = self._rows(
            "SELECT batch, key, body FROM sent_lines WHERE token = ? ORDER BY id", token
        )
        return (str(rows[0][0]) if rows else ""), {row[1]: json.loads(row[2]) for row in rows}

    def _forget_before(self, moment: float) -> None:
        """Forget what was sent before and has become a text, and what the server forgets."""
        is_known = "sent_at < ? AND key IN (SELECT key FROM captions)"
        query = f"DELETE FROM sent_lines WHERE sent_at < ? OR ({is_known})"
        with self._lock, self._connection as connection:
            connection.execute(query, (time.time() - KEPT_SECONDS, moment))

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()


def _written(outcome: Outcome) -> str:
    if isinstance(outcome, Job):
        return json.dumps({"job": dict(outcome.fields)})
    return json.dumps({"error": [outcome.status, str(outcome), outcome.code, outcome.param]})


def _read(text: str) -> Outcome:
    found = json.loads(text)
    return read_job("captions", found["job"]) if "job" in found else ApiError(*found["error"])
