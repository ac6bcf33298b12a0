"""What `POST /v1/chat/completions` takes, and the caption request in it: one video, a question."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.bodies import Body
from server.errors import InvalidRequest, first_error
from server.fields import Seed

_UNUSED = "Accepted, not used: a text is denoised as a whole, not sampled token by token"
_CLIP = "Accepted, not used: a clip is always sampled uniformly over its whole length"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VideoUrl(_Part):
    """Where the video is."""

    url: str | None = Field(
        default=None,
        description="`https://...` at a public address, or `data:video/mp4;base64,...`",
    )
    file_id: str | None = Field(default=None, description="A file of `/v1/files`, instead of a URL")
    fps: float | None = Field(default=None, gt=0, description=_CLIP)
    max_frames: int | None = Field(default=None, gt=0, description=_CLIP)


class VideoPart(_Part):
    """The video in a message."""

    type: Literal["video_url"]
    video_url: VideoUrl
    uuid: str | None = Field(default=None, description="Accepted, not used")


class TextPart(_Part):
    """Words in a message."""

    type: Literal["text"]
    text: str


class Message(_Part):
    """One message; there is no memory of earlier answers."""

    role: Literal["system", "developer", "user"]
    content: str | list[Annotated[TextPart | VideoPart, Field(discriminator="type")]]
    name: str | None = None


class StreamOptions(_Part):
    """What a stream tells beside the text."""

    include_usage: bool = False


class ChatCreate(BaseModel):
    """A chat request with one video in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: list[Message] = Field(
        min_length=1, description="Exactly one `video_url`; all texts together are the question"
    )
    model: str | None = Field(default=None, description="`univigu`, or the checkpoint's own name")
    stream: bool = Field(default=False, description="Answer as server-sent events")
    stream_options: StreamOptions | None = Field(default=None, description="`include_usage`")
    seed: Seed | None = Field(default=None, description="Same seed, same text; else random")
    num_inference_steps: int | None = Field(default=None, gt=0, description="Denoising steps")
    n: Literal[1] | None = Field(default=None, description="One answer")
    temperature: float | None = Field(default=None, ge=0, description=_UNUSED)
    top_p: float | None = Field(default=None, gt=0, le=1, description=_UNUSED)
    top_k: int | None = Field(default=None, description=_UNUSED)
    presence_penalty: float | None = Field(default=None, description=_UNUSED)
    frequency_penalty: float | None = Field(default=None, description=_UNUSED)
    repetition_penalty: float | None = Field(default=None, description=_UNUSED)
    max_tokens: int | None = Field(default=None, gt=0, description=_UNUSED)
    max_completion_tokens: int | None = Field(default=None, gt=0, description=_UNUSED)
    media_io_kwargs: dict[str, Any] | None = Field(default=None, description=_CLIP)
    mm_processor_kwargs: dict[str, Any] | None = Field(default=None, description=_CLIP)
    user: str | None = Field(default=None, description="The caller's own end user; not used")

    @property
    def question(self) -> str:
        """All texts, one to a line; empty where there is none."""
        texts = [
            message.content if isinstance(message.content, str) else _words(message.content)
            for message in self.messages
        ]
        return "\n".join(text for text in texts if text.strip())

    def videos(self) -> list[VideoUrl]:
        """Return where all videos are."""
        parts = [part for m in self.messages if isinstance(m.content, list) for part in m.content]
        return [part.video_url for part in parts if isinstance(part, VideoPart)]


def chat_request(body: Body) -> ChatCreate:
    """Check the fields of a chat request.

    Raises:
        InvalidRequest: naming the field, the value and what is allowed.
    """
    try:
        return ChatCreate.model_validate(body.fields, strict=True)
    except ValidationError as error:
        raise first_error(error.errors()) from error


def caption_body(chat: ChatCreate) -> Body:
    """Return the caption request that a chat request amounts to.

    Raises:
        InvalidRequest: if there is not exactly one video.
    """
    videos = chat.videos()
    if len(videos) != 1:
        raise InvalidRequest(
            f"messages hold {len(videos)} videos; exactly one `video_url` is needed",
            param="messages",
        )
    fields = {
        "video_url": videos[0].url,
        "file_id": videos[0].file_id,
        "instruction": chat.question or None,
        "model": chat.model,
        "seed": chat.seed,
        "num_inference_steps": chat.num_inference_steps,
    }
    return Body({name: value for name, value in fields.items() if value is not None})


def _words(parts: list[TextPart | VideoPart]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))
