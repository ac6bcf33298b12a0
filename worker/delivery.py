"""Moves what an attempt made into the artifact store, the manifest last.

A manifest names every artifact of its attempt: a retry that finds one has nothing left to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from obstore.exceptions import BaseError

from contract.artifacts import MANIFEST, ArtifactStore, job_prefix
from contract.queues import Kind
from contract.records import JobRecord
from contract.requests import JobResult
from worker.failures import StorageLost
from worker.protocol import SPRITESHEET_FILE, THUMBNAIL_FILE, VIDEO_FILE, Done

#: variant -> (file name, content type)
_FILES = {
    "video": (VIDEO_FILE, "video/mp4"),
    "thumbnail": (THUMBNAIL_FILE, "image/jpeg"),
    "spritesheet": (SPRITESHEET_FILE, "image/jpeg"),
    "txt": ("caption.txt", "text/plain; charset=utf-8"),
    "caption": ("caption.json", "application/json"),
}


def deliver(store: ArtifactStore, workdir: Path, record: JobRecord, done: Done) -> JobResult:
    """Upload an attempt's files and its manifest.

    Args:
        store: where to; each attempt has a folder of its own.
        workdir: the folder with the engine's files.
        record: the job and its attempt.
        done: the engine's last message.

    Raises:
        StorageLost: when a file is missing or not taken; there is no manifest then.
    """
    prefix = job_prefix(record.id, record.attempt)
    artifacts, stored_bytes = {}, 0
    try:
        if done.text is not None:
            _write_caption(workdir, record.id, done)
        for variant in _variants(record.kind, done):
            name, content_type = _FILES[variant]
            store.put(prefix + name, workdir / name, content_type)
            artifacts[variant] = prefix + name
            stored_bytes += (workdir / name).stat().st_size
        result = JobResult(
            artifacts=artifacts,
            stored_bytes=stored_bytes,
            **done.model_dump(exclude={"type", "segment_texts", "draft"}),
        )
        store.put(prefix + MANIFEST, result.model_dump_json().encode(), "application/json")
    except (BaseError, OSError) as error:
        raise StorageLost(f"the artifact store took no file: {error}") from error
    return result


def _variants(kind: Kind, done: Done) -> Iterator[str]:
    # not what lies in the folder: it may be removed while a left-behind thread delivers it
    if kind == "generate":
        yield from ("video", "thumbnail", "spritesheet")
    if done.text is not None:
        yield from ("txt", "caption")


def find_delivered(store: ArtifactStore, job_id: str, before: int) -> JobResult | None:
    """Return the result of an earlier attempt whose manifest and artifacts are all there."""
    for attempt in range(before - 1, 0, -1):
        try:
            result = JobResult.model_validate_json(
                store.get(job_prefix(job_id, attempt) + MANIFEST)
            )
            for key in result.artifacts.values():
                store.stat(key)
        except FileNotFoundError:
            continue
        except BaseError as error:
            raise StorageLost(f"the artifact store does not answer: {error}") from error
        return result
    return None


def _write_caption(workdir: Path, job_id: str, done: Done) -> None:
    assert done.text is not None
    (workdir / "caption.txt").write_text(done.text + "\n", encoding="utf-8")
    content = {"id": job_id, "text": done.text, "seed": done.seed}
    (workdir / "caption.json").write_text(json.dumps(content, ensure_ascii=False) + "\n", "utf-8")
