"""A vision-language model behind an endpoint as the judge of captions."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

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


async def judge_captions(evaluation: Evaluation, endpoint: ChatEndpoint) -> bool:
    """Add a judgement in [0, 100] to every caption of an evaluation, and their mean.

    A caption that gets none has "judge" null and "judge_error".

    Returns:
        Whether every caption got one.
    """
    judgements: list[float] = []
    rows: list[dict[str, Any]] = evaluation.figures["captions"]
    for row, shot in zip(rows, evaluation.shots, strict=True):
        try:
            row["judge"] = await _judge(endpoint, shot.stills, row["caption"])
            judgements.append(row["judge"])
        except ItemFailed as error:
            row |= {"judge": None, "judge_error": str(error)}
    if judgements:
        (scores,) = evaluation.figures["measures"]["captions"].values()
        scores["judge"] = sum(judgements) / len(judgements)
    return len(judgements) == len(rows)


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
