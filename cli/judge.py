"""A vision-language model behind an endpoint as the judge of captions."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

from PIL import Image

from cli.chat_endpoint import ChatEndpoint
from cli.items import ItemFailed

if TYPE_CHECKING:
    from model.evaluation import Evaluation, Frames

QUESTION = (
    "These are frames of a video in their order, and a caption of it. How well does the caption "
    "describe the video, from 0 (not at all) to 100 (rightly and in full)? Answer with the number "
    "alone.\n\nCaption: {caption}"
)
_NUMBER = re.compile(r"\s*(\d{1,3})\b")


async def judge_captions(evaluation: Evaluation, endpoint: ChatEndpoint) -> None:
    """Add a "judge" in [0, 100] to every caption of an evaluation, and their mean.

    A caption that gets none is listed under "unjudged" with the reason.
    """
    figures = evaluation.figures
    judgements: list[float] = []
    unjudged: list[dict[str, str]] = []
    for row, shot in zip(figures["captions"], evaluation.shots, strict=True):
        try:
            row["judge"] = await _judge(endpoint, shot.stills, row["caption"])
            judgements.append(row["judge"])
        except ItemFailed as error:
            unjudged.append({"place": row["place"], "error": str(error)})
    if judgements:
        (scores,) = figures["measures"]["captions"].values()
        scores["judge"] = sum(judgements) / len(judgements)
    figures["unjudged"] = unjudged


async def _judge(endpoint: ChatEndpoint, stills: Frames, caption: str) -> float:
    pictures = [{"type": "image_url", "image_url": {"url": _data_url(still)}} for still in stills]
    question = {"type": "text", "text": QUESTION.format(caption=caption)}
    answer = await endpoint.ask([{"role": "user", "content": [*pictures, question]}])
    number = _NUMBER.match(answer)
    if number is None or int(number[1]) > 100:
        raise ItemFailed(f"the judge answered {answer!r}, no number from 0 to 100", is_final=False)
    return float(number[1])


def _data_url(still: Frames) -> str:
    buffer = io.BytesIO()
    Image.fromarray(still).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
