"""A file on its way to a server, which may be written to meanwhile."""

from __future__ import annotations

import os
from typing import IO


class Unchanged:
    """Reads a file as long as it was when it was opened.

    Args:
        file: opened for reading, in bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._size = file, os.fstat(file.fileno()).st_size

    def tell(self) -> int:
        """Return how many bytes have been read."""
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere, as in a file of that length."""
        if whence == os.SEEK_END:
            offset, whence = offset + self._size, os.SEEK_SET
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, empty at the end.

        Raises:
            OSError: if the file has become shorter.
        """
        left = self._size - self._file.tell()
        data = self._file.read(left if size < 0 else min(size, left))
        if left and not data:
            raise OSError(f"{self._file.name}: it was changed while it was sent")
        return data
