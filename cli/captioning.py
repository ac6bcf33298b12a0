"""Does one video: knows what came of it before, has it captioned, writes its texts, remembers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from cli.backend import Describer, Description, OnStep, TextWish
from cli.index import CaptionIndex, Identity
from cli.inputs import Found
from cli.items import ItemFailed, TextRow
from cli.sidecars import Sidecars


@dataclass(frozen=True)
class Question:
    """What is asked about every video of a call."""

    instruction: str | None
    seed: int
    segment_seconds: float | None = None


class Desk:
    """Does one video at a time, or in several threads several.

    Args:
        backend: the model.
        index: what was told before.
        question: what to tell.
        resume: whether what was done before is passed over.
        on_step: told of each step.
    """

    def __init__(
        self,
        backend: Describer,
        index: CaptionIndex,
        question: Question,
        resume: bool,
        on_step: OnStep,
    ) -> None:
        self._backend, self._index, self._question = backend, index, question
        self._resume, self._on_step = resume, on_step

    def row(self, places: Mapping[str, Sidecars], item: Found) -> TextRow:
        """Caption a video, unless it is known what comes of it.

        Args:
            places: where each video's texts go.
            item: the video.
        """
        if item.error is not None:
            return TextRow(item.name, "failed", None, item.error)
        sidecars = places[item.name]
        try:
            if sidecars.are_shared:
                message = f"another video of this call would write {sidecars.stem}.*, too"
                raise ItemFailed(message, is_final=False)
            identity = self._identify(item)
            earlier = self._earlier(item, sidecars, identity) if self._resume else None
            return earlier or self._describe(item, sidecars, identity)
        except ItemFailed as error:
            return TextRow(item.name, "failed", None, str(error))

    @cached_property
    def _checkpoint(self) -> str:
        return self._backend.checkpoint()

    def _identify(self, item: Found) -> Identity:
        asked, stamp = self._question, item.stamp()
        content = self._index.content_of(item.name, stamp) or item.content()
        facts = [content, self._checkpoint, asked.instruction, asked.seed, asked.segment_seconds]
        return Identity(stamp, content, hashlib.sha256(json.dumps(facts).encode()).hexdigest())

    def _earlier(self, item: Found, sidecars: Sidecars, identity: Identity) -> TextRow | None:
        """Return what came of the same content, checkpoint and question before."""
        failure = sidecars.failure()
        if failure is not None and failure.key in (None, identity.key):
            return TextRow(item.name, "failed", None, failure.error)
        known_key = self._index.key_of(item.name, self._question.instruction)
        # texts that the index knows nothing of are taken for good
        if known_key in (None, identity.key) and sidecars.are_there():
            known = self._index.find(identity.key)
            text = known.text if known_key and known else sidecars.text()
            return TextRow(item.name, "skipped", text, None)
        same = self._index.find(identity.key)
        return self._keep(item, sidecars, identity, same) if same else None

    def _describe(self, item: Found, sidecars: Sidecars, identity: Identity) -> TextRow:
        wish = self._wish(item, identity)
        try:
            with item.local() as path:
                found = self._backend.describe(replace(wish, path=path), self._on_step)
        except ItemFailed as error:
            if error.is_final:
                sidecars.write_failure(item.name, wish, str(error))
            raise
        return self._keep(item, sidecars, identity, found)

    def _keep(
        self, item: Found, sidecars: Sidecars, identity: Identity, found: Description
    ) -> TextRow:
        instruction = self._question.instruction
        self._index.record(item.name, instruction, identity, found)
        sidecars.write(item.name, self._wish(item, identity), found)
        self._index.confirm(item.name, instruction)
        return TextRow(item.name, "completed", found.text, None)

    def _wish(self, item: Found, identity: Identity) -> TextWish:
        asked = self._question
        return TextWish(
            item.path, asked.instruction, asked.seed, asked.segment_seconds, identity.key
        )
