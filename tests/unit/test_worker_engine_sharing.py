"""Steps that the jobs of a running loop take together."""

import pytest
from engine_thread import Engine, replies

from worker.protocol import MAX_MESSAGE


@pytest.fixture
def engine(tmp_path):
    engine = Engine(tmp_path)
    yield engine
    engine.close()


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
