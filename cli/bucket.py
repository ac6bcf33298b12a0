"""Videos in an S3-compatible bucket; endpoint and credentials come from the `AWS_*` variables."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from obstore.exceptions import BaseError

from cli.inputs import Found, is_video
from cli.items import BadOption, ItemFailed
from cli.shelves import BucketShelf, Shelf
from contract.artifacts import ArtifactStore


@dataclass(frozen=True)
class Stored(Found):
    """An object; `path` is its key below the prefix that was searched."""

    url: str = field(kw_only=True)
    store: ArtifactStore = field(kw_only=True, compare=False)

    @property
    def name(self) -> str:
        """See `Found`."""
        return f"{self.url}/{self.path}"

    @property
    def shelf(self) -> Shelf:
        """See `Found`."""
        return BucketShelf(self.store)

    def stamp(self) -> str:
        """See `Found`; the entity tag changes with the content."""
        try:
            size, tag = self.store.stat(str(self.path))
        except (FileNotFoundError, BaseError) as error:
            raise ItemFailed(f"cannot read it: {error}", is_final=False) from error
        return f"{size} {tag}"

    def content(self) -> str:
        """See `Found`; reading all of it only to hash it would fetch it twice."""
        return f"etag {self.stamp()}"

    @contextmanager
    def local(self) -> Iterator[Path]:
        """See `Found`: fetches it for as long as it is needed."""
        with tempfile.TemporaryDirectory(prefix="univigu-caption-") as folder:
            path = Path(folder) / self.path.name
            try:
                self.store.download(str(self.path), path)
            except (FileNotFoundError, BaseError) as error:
                raise ItemFailed(f"cannot fetch it: {error}", is_final=False) from error
            yield path


def find_in_bucket(url: str) -> Iterator[Found]:
    """Yield the videos below `s3://bucket/prefix`, sorted.

    Raises:
        BadOption: if the bucket cannot be listed.
    """
    url = url.rstrip("/")
    try:
        store = ArtifactStore(url)
        keys = store.list("")
    except (BaseError, ValueError) as error:
        raise BadOption(f"{url}: {error}") from error
    videos = [Path(key) for key in keys if is_video(Path(key))]
    for path in videos:
        yield Stored(path, path, url=url, store=store)
    if not videos:
        yield Stored(Path(), Path(), "there is no video below this prefix", url=url, store=store)
