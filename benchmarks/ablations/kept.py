"""Results on disk: what was measured once under the same definition is not measured again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.written import write_json

Figures = dict[str, float]


def digest(definition: Any) -> str:
    """Return a short name of anything that JSON can say."""
    text = json.dumps(definition, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def kept(folder: Path, name: str, definition: Any, make: Callable[[], Figures]) -> Figures:
    """Return the figures of a definition, made now if they never were.

    Args:
        folder: of all results.
        name: for people, in the file's name.
        definition: all that decides the figures, as JSON can say it.
        make: measures them.
    """
    path = folder / f"{name}-{digest(definition)}.json"
    if not path.exists():
        write_json(path, {"definition": definition, "figures": make()})
    figures: Figures = json.loads(path.read_text())["figures"]
    return figures
