"""Full-text search over captions with SQLite's FTS5: one table, one way to read a query.

Words match in all their forms (moving, moves) and all of them must be there; the best match comes
first.
"""

from __future__ import annotations

import re
import sqlite3

TABLE = "words"
_WORD = re.compile(r"\w+")


def create_table(connection: sqlite3.Connection, *columns: str) -> None:
    """Make the table of texts, unless it is there."""
    names = ", ".join(columns)
    connection.execute(
        f"CREATE VIRTUAL TABLE IF NOT EXISTS {TABLE} "
        f"USING fts5({names}, tokenize='porter unicode61')"
    )


def matching_rows(connection: sqlite3.Connection, query: str, limit: int) -> list[int]:
    """Return the ids of the rows that have every word of a query, best first.

    Nothing in the query is an operator; one without a word finds nothing.
    """
    words = _WORD.findall(query)
    if not words:
        return []
    expression = " ".join(f'"{word}"' for word in words)
    found = connection.execute(
        f"SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH ? ORDER BY rank, rowid DESC LIMIT ?",
        (expression, limit),
    )
    return [rowid for (rowid,) in found]
