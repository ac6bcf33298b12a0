"""The messages between a slot and the engine: JSON over a local SOCK_SEQPACKET socket.

One connection is one job: the slot speaks once, then the engine reports until `Done` or `Failed`.
Closing the connection is the cancel and the death notice. Frames and videos travel as files in the
job's `workdir`, so that a message stays small.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contract.requests import Approximation, JobRequest, Segment

#: no message is longer, in bytes
MAX_MESSAGE = 1 << 18
#: what the slot puts into the workdir of an understand job: uint8 (F, H, W, 3)
FRAMES_FILE = "frames.npy"
#: the same where the video is cut: one file per segment, whose names sort like the segments
SEGMENT_FILES = "segment-*.npy"
#: what the engine puts into the workdir of a generate job
VIDEO_FILE = "video.mp4"
THUMBNAIL_FILE = "thumbnail.jpg"
SPRITESHEET_FILE = "spritesheet.jpg"


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def encode(self) -> bytes:
        """Return the message as sent."""
        return self.model_dump_json().encode()


class Start(_Message):
    """Slot to engine: run this attempt."""

    id: str
    attempt: int
    request: JobRequest
    workdir: Path
    #: whose job it is; the accounts take turns
    account: str = ""
    #: the slot's span, W3C; empty where nothing is traced
    traceparent: str = ""


class Progress(_Message):
    """Engine to slot: a step is done."""

    type: Literal["progress"] = "progress"
    phase: str
    step: int
    of: int


class Preview(_Message):
    """Engine to slot: how far the streams are at a step."""

    type: Literal["preview"] = "preview"
    step: int
    of: int
    caption: str | None
    #: name of a picture in the workdir
    frame: str


class Done(_Message):
    """Engine to slot: finished; the files are in the workdir."""

    type: Literal["done"] = "done"
    text: str | None
    #: what a video was asked for in its prompt's place
    draft: str | None = None
    #: of each segment, where the video was cut
    segment_texts: list[str] = Field(default_factory=list)
    seed: int
    stage_durations: dict[str, float]
    peak_memory_mb: float | None = None
    batched: int = 1
    approximations: list[Approximation] = Field(default_factory=list)
    #: from here on filled in by the slot, which has read the input video
    segments: list[Segment] = Field(default_factory=list)
    input_seconds: float | None = None
    notes: list[str] = Field(default_factory=list)


class Failed(_Message):
    """Engine to slot: this job cannot be done; trying again would not help."""

    type: Literal["failed"] = "failed"
    code: str
    message: str
    param: str | None = None


Final = Done | Failed
Reply = Progress | Preview | Done | Failed
_REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="type")])


def new_socket() -> socket.socket:
    """Return a socket of the kind that both sides use: one message per `recv`, none cut in two."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def decode_reply(data: bytes) -> Reply:
    """Read a message of the engine."""
    return _REPLY.validate_json(data)
