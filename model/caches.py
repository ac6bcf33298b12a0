"""Keeps what was computed for one request and may serve the next, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class ByteLimited(Generic[T]):
    """The least recently used goes first.

    Args:
        size_of: bytes of a value.
        max_bytes: of all values together; a value that is larger alone is not kept.
    """

    def __init__(self, size_of: Callable[[T], int], max_bytes: int = 0) -> None:
        self._size_of, self._max_bytes = size_of, max_bytes
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes = 0

    @property
    def num_bytes(self) -> int:
        """Bytes of all that is kept."""
        return self._bytes

    def limit(self, max_bytes: int) -> None:
        """Keep at most so much from now on; 0 forgets everything."""
        self._max_bytes = max_bytes
        self._shrink()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was made for an equal key before, or else make and keep it."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        if self._size_of(value) <= self._max_bytes:
            self._values[key] = value
            self._bytes += self._size_of(value)
            self._shrink()
        return value

    def _shrink(self) -> None:
        while self._bytes > self._max_bytes:
            _, value = self._values.popitem(last=False)
            self._bytes -= self._size_of(value)
