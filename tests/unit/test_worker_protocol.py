import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.requests import MAX_PROMPT_CHARACTERS, GenerateRequest
from worker.protocol import MAX_MESSAGE, Done, Failed, Progress, Start, decode_reply

REPLIES = [
    Progress(phase="denoise", step=1, of=2),
    Done(text="a ball", seed=1, stage_durations={"denoise": 0.5}, notes=["short"]),
    Failed(code="invalid_request", message="no", param="size"),
]


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.type)
def test_reply_survives_the_wire(reply):
    assert decode_reply(reply.encode()) == reply


def test_message_of_an_unknown_type_is_refused():
    with pytest.raises(ValidationError, match="type"):
        decode_reply(b'{"type":"gossip"}')


def test_longest_prompt_passes_as_one_message():
    request = GenerateRequest(
        prompt="\U0001f3c0" * MAX_PROMPT_CHARACTERS,
        seed=1,
        height=8,
        width=8,
        num_frames=1,
        fps=1,
        num_inference_steps=1,
        guidance_scale=1.0,
    )
    start = Start(id="video_1", attempt=1, request=request, workdir=Path("/w"))
    slot, engine = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with slot, engine:
        slot.setblocking(False)
        slot.send(start.encode())
        assert Start.model_validate_json(engine.recv(MAX_MESSAGE)) == start
