"""The engine's loop on its real socket, in a thread, with jobs that need no model."""

import threading
import time
from pathlib import Path

from contract.requests import GenerateRequest, UnderstandRequest
from worker.engine.loop import Loop
from worker.engine.sharing import SharedStep
from worker.protocol import (
    MAX_MESSAGE,
    Done,
    Failed,
    Progress,
    Start,
    decode_reply,
    new_socket,
)


class Runner:
    """Jobs that count their steps; `prompt` says how they end.

    The steps of questions are shared by those that ask the same.
    """

    def __init__(self):
        self.closed = []
        self.order = []
        self.calls = []
        self.is_held, self.go_on = threading.Event(), threading.Event()

    def answer(self, items):
        self.calls.append(sorted(items))
        time.sleep(0.002)  # so that jobs that are sent in a row are there together
        if len(items) > 1 and "crowd" in self.calls[-1][0]:
            raise MemoryError
        if "worst" in items:
            raise ValueError("worst")
        return [f"answer to {item}" for item in items]

    def share(self, start):
        request, batched = start.request, 1
        for step in range(1, request.num_inference_steps + 1):
            shared = SharedStep(start.id, self.answer, request.instruction)
            yield shared
            assert shared.result() == f"answer to {start.id}"
            batched = max(batched, shared.batched)
            yield Progress(phase="denoise", step=step, of=request.num_inference_steps)
        yield Done(text=start.id, seed=0, stage_durations={}, batched=batched)

    def start(self, start):
        request = start.request
        if getattr(request, "instruction", None):
            yield from self.share(start)
            return
        try:
            for step in range(1, request.num_inference_steps + 1):
                self.order.append(start.id)
                if getattr(request, "prompt", "") == "slow":
                    time.sleep(0.01)
                if getattr(request, "prompt", "") == "held" and step == 2:
                    self.is_held.set()
                    assert self.go_on.wait(10)
                if getattr(request, "prompt", "") == "burst":
                    raise MemoryError
                if getattr(request, "prompt", "") == "fail":
                    raise ValueError("width=7")
                yield Progress(phase="denoise", step=step, of=request.num_inference_steps)
            yield Done(text=start.id, seed=0, stage_durations={})
        finally:
            self.closed.append((start.id, start.attempt))

    def explain(self, error):
        if isinstance(error, MemoryError):
            return Failed(code="out_of_memory", message="full")
        return Failed(code="invalid_request", message=str(error))


class Engine:
    def __init__(self, folder, admission=None):
        self.path = folder / "e.sock"
        self.runner = Runner()
        self.beats = 0
        listener = new_socket()
        listener.bind(str(self.path))
        listener.listen()
        self._listener = listener
        self.loop = Loop(listener, self.runner, self._beat, admission)
        self._thread = threading.Thread(target=self.loop.run)
        self._thread.start()

    def _beat(self):
        self.beats += 1

    def close(self):
        self.loop.stop(5)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listener.close()

    def is_alive(self):
        return self._thread.is_alive()

    def connect(self):
        connection = new_socket()
        connection.settimeout(10)
        connection.connect(str(self.path))
        return connection

    def submit(self, job_id, prompt="", steps=3, attempt=1, account=""):
        request = GenerateRequest(
            prompt=prompt or "a ball",
            seed=0,
            height=8,
            width=8,
            num_frames=1,
            fps=1,
            num_inference_steps=steps,
            guidance_scale=1.0,
        )
        return self._send(
            Start(
                id=job_id,
                attempt=attempt,
                request=request,
                workdir=Path("/w"),
                account=account,
            )
        )

    def caption(self, job_id, steps=3, instruction=None):
        request = UnderstandRequest(
            source="s", seed=0, num_inference_steps=steps, instruction=instruction
        )
        return self._send(Start(id=job_id, attempt=1, request=request, workdir=Path("/w")))

    def _send(self, start):
        connection = self.connect()
        connection.send(start.encode())
        return connection


def replies(connection):
    """Read all that the engine says about a job."""
    heard = []
    with connection:
        while data := connection.recv(MAX_MESSAGE):
            heard.append(decode_reply(data))
    return heard


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
