"""The index of captioned videos: what was told of each, by content, and a search over it.

One SQLite file. It is what `--resume` goes by, and what `univigu search` reads.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from cli.backend import Description
from cli.items import BadOption
from cli.settings import ClientSettings, read_settings
from contract.full_text import TABLE, create_table, matching_rows
from contract.subtitles import Cue

_SCHEMA = """
CREATE TABLE IF NOT EXISTS captions (
    id INTEGER PRIMARY KEY,
    file TEXT NOT NULL,
    instruction TEXT NOT NULL,
    stamp TEXT NOT NULL,
    content TEXT NOT NULL,
    key TEXT NOT NULL,
    description TEXT NOT NULL,
    told_at REAL NOT NULL,
    is_written INTEGER NOT NULL DEFAULT 0,
    UNIQUE (file, instruction)
);
CREATE INDEX IF NOT EXISTS captions_by_key ON captions (key);
"""
#: other commands may be writing to the same file
_BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class Identity:
    """Which content a video has, and by which key its text is known.

    `stamp` changes whenever the content may have; `key` covers content, checkpoint and options.
    """

    stamp: str
    content: str
    key: str


@dataclass(frozen=True)
class Match:
    """A video whose text has the words; `instruction` is None where the text is its caption."""

    file: str
    text: str
    instruction: str | None


class CaptionIndex:
    """Keeps one text per video and instruction; may be used by several threads.

    Args:
        path: the SQLite file, made if missing.

    Raises:
        BadOption: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
            self._connection.executescript(_SCHEMA)
            create_table(self._connection, "text")
        except (OSError, sqlite3.Error) as error:
            raise BadOption(f"--index {path}: {error}") from error

    def __enter__(self) -> Self:
        """Return the index itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._connection.close()

    def content_of(self, file: str, stamp: str) -> str | None:
        """Return the content hash of a file that has not changed since it was last told of."""
        row = self._one("SELECT content FROM captions WHERE file = ? AND stamp = ?", file, stamp)
        return str(row[0]) if row else None

    def key_of(self, file: str, instruction: str | None) -> str | None:
        """Return the key of the texts beside a file; empty before they were confirmed."""
        query = "SELECT key, is_written FROM captions WHERE file = ? AND instruction = ?"
        row = self._one(query, file, instruction or "")
        return (str(row[0]) if row[1] else "") if row else None

    def find(self, key: str) -> Description | None:
        """Return what was told under a key, of whichever file."""
        row = self._one("SELECT description FROM captions WHERE key = ?", key)
        return _parse(row[0]) if row else None

    def record(
        self, file: str, instruction: str | None, identity: Identity, found: Description
    ) -> None:
        """Keep what was told of a file, in place of what was told before.

        Do this before its texts are written, and `confirm` after: a command that is killed between
        the two has lost nothing.
        """
        values = (identity.stamp, identity.content, identity.key, json.dumps(asdict(found)))
        row = (file, instruction or "", *values, time.time())
        with self._lock, self._connection as connection:
            old = "SELECT id FROM captions WHERE file = ? AND instruction = ?"
            connection.execute(f"DELETE FROM {TABLE} WHERE rowid IN ({old})", row[:2])
            columns = "file, instruction, stamp, content, key, description, told_at"
            added = connection.execute(
                f"INSERT OR REPLACE INTO captions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )
            words = (added.lastrowid, found.text)
            connection.execute(f"INSERT INTO {TABLE} (rowid, text) VALUES (?, ?)", words)

    def confirm(self, file: str, instruction: str | None) -> None:
        """Note that what was recorded of a file now lies beside it."""
        query = "UPDATE captions SET is_written = 1 WHERE file = ? AND instruction = ?"
        with self._lock, self._connection as connection:
            connection.execute(query, (file, instruction or ""))

    def search(self, query: str, limit: int) -> list[Match]:
        """Return the files whose texts have every word, best first."""
        with self._lock:
            rows = matching_rows(self._connection, query, limit)
        return [self._match(row) for row in rows]

    def _match(self, row: int) -> Match:
        found = self._one("SELECT file, description, instruction FROM captions WHERE id = ?", row)
        assert found is not None
        return Match(str(found[0]), _parse(found[1]).text, str(found[2]) or None)

    def _one(self, query: str, *values: object) -> Sequence[object] | None:
        with self._lock:
            row: Sequence[object] | None = self._connection.execute(query, values).fetchone()
        return row


def open_index(path: Path | None) -> CaptionIndex:
    """Open the index at a path, or else the one of UNIVIGU_INDEX.

    Raises:
        BadOption: if it cannot be opened.
    """
    return CaptionIndex(read_settings(ClientSettings, index=path).index)


def _parse(text: object) -> Description:
    fields = json.loads(str(text))
    return Description(
        fields["text"], fields["seconds"], [Cue(*segment) for segment in fields["segments"]]
    )
