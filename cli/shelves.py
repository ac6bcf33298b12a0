"""Where the texts of videos lie, a folder or a bucket; each is written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from obstore.exceptions import BaseError

from cli.items import ItemFailed
from contract.artifacts import ArtifactStore


class Shelf(Protocol):
    """Texts by name."""

    def has(self, name: str) -> bool:
        """Whether there is such a text."""
        ...

    def read(self, name: str) -> str | None:
        """Return a text, None if there is none."""
        ...

    def write(self, texts: Mapping[str, str]) -> None:
        """Write texts.

        Raises:
            ItemFailed: if one cannot be written.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a text that may be there."""
        ...


class FolderShelf:
    """Files; the names are their paths."""

    def has(self, name: str) -> bool:
        """See `Shelf`."""
        return Path(name).is_file()

    def read(self, name: str) -> str | None:
        """See `Shelf`."""
        try:
            return Path(name).read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ItemFailed(f"cannot read {name}: {error}", is_final=False) from error

    def write(self, texts: Mapping[str, str]) -> None:
        """See `Shelf`; nothing is there before all are written."""
        with ExitStack() as cleaning:
            try:
                paths = [Path(name) for name in texts]
                partials = [path.with_name(f".{path.name}.partial") for path in paths]
                for path, partial, text in zip(paths, partials, texts.values(), strict=True):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    cleaning.callback(partial.unlink, missing_ok=True)
                    partial.write_text(text, "utf-8")
                for path, partial in zip(paths, partials, strict=True):
                    partial.replace(path)
            except OSError as error:
                raise ItemFailed(f"cannot write beside it: {error}", is_final=False) from error

    def remove(self, name: str) -> None:
        """See `Shelf`."""
        Path(name).unlink(missing_ok=True)


class BucketShelf:
    """Objects; the names are their keys.

    Args:
        store: the bucket, from the prefix on.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def has(self, name: str) -> bool:
        """See `Shelf`."""
        try:
            self._store.stat(name)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> str | None:
        """See `Shelf`."""
        try:
            return self._store.get(name).decode()
        except FileNotFoundError:
            return None

    def write(self, texts: Mapping[str, str]) -> None:
        """See `Shelf`."""
        try:
            for name, text in texts.items():
                self._store.put(name, text.encode(), "text/plain; charset=utf-8")
        except BaseError as error:
            raise ItemFailed(f"cannot write {name}: {error}", is_final=False) from error

    def remove(self, name: str) -> None:
        """See `Shelf`."""
        self._store.delete(name)
