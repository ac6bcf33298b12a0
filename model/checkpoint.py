"""A short name for what is in a checkpoint folder."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

#: bytes read from each end of a file; enough to tell weights apart without reading gigabytes
_SAMPLE_BYTES = 1 << 16


def fingerprint(checkpoint: str | Path, parts: Collection[str] | None = None) -> str:
    """Return 12 hex digits that name a checkpoint's content.

    Covers every file's relative name, size, and first and last 64 KiB, of the whole folder or of
    the `parts` named.

    Raises:
        FileNotFoundError: if the folder has no `model_index.json`.
    """
    root = Path(checkpoint)
    if not (root / "model_index.json").is_file():
        raise FileNotFoundError(f"checkpoint {root}: there is no model_index.json")
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        if parts is not None and path.relative_to(root).parts[0] not in parts:
            continue
        size = path.stat().st_size
        digest.update(f"{path.relative_to(root).as_posix()}:{size};".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE_BYTES))
            file.seek(max(0, size - _SAMPLE_BYTES))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:12]
