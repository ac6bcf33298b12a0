"""A file of JSON lines that grows line by line, and outlives a kill at any moment."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Self

from cli.items import BadOption


class AppendedLines:
    """One process's hold on such a file.

    A kill costs at most the line that was being written; what is left of it is removed on opening.

    Args:
        path: of the file, made if there is none.

    Raises:
        BadOption: if the file cannot be opened, is in use, or has a line that is no JSON object.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise BadOption(f"--out {path}: {error.strerror}") from error
        try:
            self._lock()
            self.before = self._read()
        except BadOption:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def add(self, line: dict[str, Any]) -> None:
        """Write a line; it is on disk when this returns."""
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadOption(f"--out {self._path}: another process is writing it") from error

    def _read(self) -> list[dict[str, Any]]:
        self._file.seek(0)
        content = self._file.read()
        whole, _, torn = content.rpartition(b"\n")
        if torn:
            self._file.truncate(len(content) - len(torn))
        return [self._parse(line, at) for at, line in enumerate(whole.splitlines(), 1)]

    def _parse(self, line: bytes, at: int) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except ValueError as error:
            raise BadOption(f"--out {self._path} line {at}: {error}") from error
        if not isinstance(found, dict):
            raise BadOption(f"--out {self._path} line {at}: is not a JSON object")
        return found
