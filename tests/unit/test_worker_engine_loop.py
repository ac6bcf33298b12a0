"""The engine's loop on its real socket, in a thread, with jobs that need no model."""

import threading
import time
from pathlib import Path

import pytest

from contract.requests import GenerateRequest, UnderstandRequest
from model.memory import Need
from worker.engine.admission import Admission
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


@pytest.fixture
def engine(tmp_path):
    engine = Engine(tmp_path)
    yield engine
    engine.close()


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


def test_job_reports_every_step_and_ends_with_its_result(engine):
    *steps, last = replies(engine.submit("v"))
    assert [reply.step for reply in steps] == [1, 2, 3]
    assert last.text == "v"


def test_closing_the_connection_stops_the_job(engine):
    connection = engine.submit("v", "slow", steps=100_000)
    connection.recv(MAX_MESSAGE)
    connection.close()
    until(lambda: engine.runner.closed == [("v", 1)])


def test_failing_job_is_explained_and_leaves_the_others_alone(engine):
    good = engine.submit("good", "slow", steps=20)
    assert replies(engine.submit("bad", "fail")) == [
        Failed(code="invalid_request", message="width=7")
    ]
    assert replies(good)[-1].text == "good"


def test_caption_takes_the_next_steps_of_a_running_video(engine):
    video = engine.submit("v", "slow", steps=300)
    video.recv(MAX_MESSAGE)
    replies(engine.caption("c", steps=5))
    video.close()
    first = engine.runner.order.index("c")
    assert engine.runner.order[first : first + 5] == ["c"] * 5


def test_client_that_says_nothing_holds_nobody_up(engine):
    with engine.connect():
        assert replies(engine.submit("v"))[-1].text == "v"


def test_client_that_does_not_listen_loses_progress_but_not_the_result(engine):
    deaf = engine.submit("deaf", steps=20_000)
    assert replies(engine.submit("v"))[-1].text == "v"
    until(lambda: engine.runner.order.count("deaf") == 20_000)
    heard = replies(deaf)
    assert heard[-1].text == "deaf"
    assert len(heard) < 20_000


def test_newer_attempt_takes_the_place_of_an_older_one(engine):
    old = engine.submit("v", "slow", steps=100_000, attempt=1)
    old.recv(MAX_MESSAGE)
    new = engine.submit("v", attempt=2)
    assert replies(new)[-1].text == "v"
    assert not any(isinstance(reply, Done) for reply in replies(old))


def test_older_attempt_that_comes_late_is_turned_away(engine):
    new = engine.submit("v", "slow", steps=50, attempt=2)
    new.recv(MAX_MESSAGE)
    assert replies(engine.submit("v", attempt=1)) == []
    assert replies(new)[-1].text == "v"


def test_message_that_is_no_job_ends_its_connection_only(engine):
    connection = engine.connect()
    connection.send(b'{"id": 3}')
    assert replies(connection) == []
    assert replies(engine.submit("v"))[-1].text == "v"


def test_loop_beats_while_it_idles(engine):
    before = engine.beats
    until(lambda: engine.beats >= before + 3)


def test_stopping_engine_finishes_the_job_in_flight(tmp_path):
    engine = Engine(tmp_path)
    connection = engine.submit("v", "slow", steps=30)
    connection.recv(MAX_MESSAGE)
    engine.close()
    assert replies(connection)[-1].text == "v"


def test_stopping_engine_waits_no_longer_than_it_was_told(tmp_path):
    engine = Engine(tmp_path)
    connection = engine.submit("v", "slow", steps=100_000)
    connection.recv(MAX_MESSAGE)
    engine.loop.stop(0.1)
    engine.close()
    assert not any(isinstance(reply, Done) for reply in replies(connection))


def ask(engine, questions, steps=3):
    """Return the last reply to each, all asked while a slow video keeps the engine busy."""
    video = engine.submit("v", "slow", steps=100_000)
    video.recv(MAX_MESSAGE)
    asked = [engine.caption(name, steps, instruction) for name, instruction in questions]
    last = [replies(connection)[-1] for connection in asked]
    video.close()
    return last


def test_questions_of_a_group_share_their_steps(engine):
    answers = ask(engine, [("a", "color"), ("b", "color"), ("c", "size")], steps=50)
    assert [answer.text for answer in answers] == ["a", "b", "c"]
    assert [answer.batched for answer in answers] == [2, 2, 1]
    assert ["a", "b"] in engine.runner.calls
    assert not any("c" in call and len(call) > 1 for call in engine.runner.calls)


def test_each_question_of_a_group_takes_every_step_once(engine):
    ask(engine, [("a", "color"), ("b", "color")], steps=20)
    taken = [name for call in engine.runner.calls for name in call]
    assert (taken.count("a"), taken.count("b")) == (20, 20)


def test_what_fails_together_is_tried_alone(engine):
    answers = ask(engine, [("crowd 1", "color"), ("crowd 2", "color")], steps=30)
    assert [answer.text for answer in answers] == ["crowd 1", "crowd 2"]
    assert [answer.batched for answer in answers] == [1, 1]


def test_one_of_a_group_that_fails_fails_alone(engine):
    good, bad = ask(engine, [("good", "color"), ("worst", "color")], steps=30)
    assert good.text == "good"
    assert bad.message == "worst"


def test_cancelled_job_takes_at_most_the_step_that_runs(engine):
    connection = engine.submit("v", "slow", steps=100_000)
    connection.recv(MAX_MESSAGE)
    connection.close()
    before = engine.runner.order.count("v")
    until(lambda: engine.runner.closed)
    assert engine.runner.order.count("v") <= before + 1


def test_captions_that_never_end_leave_a_video_its_steps(engine):
    captions = [engine.caption(f"c{i}", steps=100_000) for i in range(2)]
    video = engine.submit("v", "slow", steps=20)
    assert replies(video)[-1].text == "v"
    for connection in captions:
        connection.close()


def test_accounts_take_turns(engine):
    busy = [engine.submit(f"a{i}", "slow", steps=100_000, account="a") for i in range(3)]
    for connection in busy:
        connection.recv(MAX_MESSAGE)
    replies(engine.submit("b", "slow", steps=10, account="b"))
    for connection in busy:
        connection.close()
    order = engine.runner.order
    first = order.index("b")
    assert len(order[first : len(order) - order[::-1].index("b")]) == 19


def narrow(release=lambda: True):
    """Return an admission for one video at a time."""
    return Admission(10, lambda _: Need(6, 2), release)


def test_job_waits_until_there_is_memory_for_it(tmp_path):
    engine = Engine(tmp_path, narrow())
    first = engine.submit("first", "slow", steps=20)
    first.recv(MAX_MESSAGE)
    second = engine.submit("second")
    assert replies(first)[-1].text == "first"
    assert replies(second)[-1].text == "second"
    engine.close()
    order = engine.runner.order
    assert order == ["first"] * 20 + ["second"] * 3


def test_waiting_job_can_be_cancelled(tmp_path):
    engine = Engine(tmp_path, narrow())
    first = engine.submit("first", "slow", steps=100_000)
    first.recv(MAX_MESSAGE)
    engine.submit("second").close()
    turns = engine.beats
    until(lambda: engine.beats > turns + 5)  # to accept, to hear, to see it leave
    first.close()
    assert replies(engine.submit("third"))[-1].text == "third"
    engine.close()
    assert "second" not in engine.runner.order


def test_out_of_memory_fails_one_job_and_its_like_are_refused_unstarted(tmp_path):
    engine = Engine(tmp_path, narrow())
    assert replies(engine.submit("large", "burst"))[-1].code == "out_of_memory"
    assert "needs about" in replies(engine.submit("again"))[-1].message
    engine.close()
    assert engine.runner.order == ["large"]


def test_engine_that_does_not_get_its_memory_back_leaves(tmp_path):
    engine = Engine(tmp_path, narrow(lambda: False))
    replies(engine.submit("large", "burst"))
    until(lambda: not engine.is_alive())
    engine.close()
