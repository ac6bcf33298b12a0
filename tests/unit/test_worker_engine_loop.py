"""The engine's loop: whose turn it is, and what a slot hears of its job."""

import pytest
from engine_thread import Engine, replies, until

from worker.protocol import MAX_MESSAGE, Done, Failed


@pytest.fixture
def engine(tmp_path):
    engine = Engine(tmp_path)
    yield engine
    engine.close()


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


def test_caption_that_comes_during_a_step_is_next(engine):
    with engine.submit("v", "held", steps=5):
        assert engine.runner.is_held.wait(10)
        caption = engine.caption("c", steps=1)
        engine.runner.go_on.set()
        replies(caption)
    assert engine.runner.order[:3] == ["v", "v", "c"]


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
