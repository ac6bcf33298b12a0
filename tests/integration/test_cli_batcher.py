"""Batches of a library when servers go away, calls are interrupted, or others have been faster."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from batching_house import batches, files, nothing
from cli_house import until

from cli.crew import Stopped
from cli.items import ItemFailed
from univigu_client import ApiError, Client

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def looks(monkeypatch):
    monkeypatch.setattr("cli.batcher._LOOK_SECONDS", 0.05)
    monkeypatch.setattr("cli.batching._LOOK_SECONDS", 0.05)


def stops(is_over):
    """Return a check that raises once that is set, as an interrupt does."""

    def check(at, of):
        if is_over.is_set():
            raise Stopped

    return check


@pytest.fixture
def outage(monkeypatch):
    """Let the server answer nobody who looks at a batch; counts the looks."""
    retrieve, looks = Client.retrieve_batch, []

    def refuse(self, batch_id):
        looks.append(batch_id)
        raise ApiError(503 if len(looks) % 2 else 0, "nobody is there")

    @contextmanager
    def begin():
        monkeypatch.setattr(Client, "retrieve_batch", refuse)
        yield looks
        monkeypatch.setattr(Client, "retrieve_batch", retrieve)

    return begin


def test_a_batch_goes_on_while_the_server_gives_no_answer(
    caption, captioner, wish, live_url, outage
):
    captioner.is_held = True
    with caption() as backend, ThreadPoolExecutor(1) as pool:
        call = pool.submit(backend.describe, wish("a"), nothing)
        until(captioner.records)
        with outage() as looks:
            until(lambda: len(looks) >= 4)
            assert len(files(live_url)) == 1
        captioner.is_held = False
        assert call.result(60).text == "shows a"
    assert len(captioner.records()) == 1
    assert files(live_url) == []


def test_a_server_that_stays_away_fails_the_item_and_keeps_its_video(
    caption, captioner, wish, live_url, outage, monkeypatch
):
    monkeypatch.setattr("cli.batcher._AWAY_SECONDS", 0.1)
    captioner.is_held = True
    with caption() as backend, ThreadPoolExecutor(1) as pool:
        call = pool.submit(backend.describe, wish("a"), nothing)
        until(captioner.records)
        with outage(), pytest.raises(ItemFailed, match="nobody is there") as failed:
            call.result(60)
    assert not failed.value.is_final
    assert len(files(live_url)) == 1
    captioner.is_held = False
    with caption() as backend:
        assert backend.describe(wish("a"), nothing).text == "shows a"
    assert len(captioner.records()) == 1
    assert files(live_url) == []


def test_an_interrupt_cancels_the_batches_before_their_videos_are_deleted(
    caption, captioner, wish, live_url, monkeypatch
):
    captioner.is_held, cancel, kept = True, Client.cancel_batch, []

    def noting(self, batch):
        kept.append(len(files(live_url)))
        return cancel(self, batch)

    monkeypatch.setattr(Client, "cancel_batch", noting)
    is_over = threading.Event()
    with caption() as backend, ThreadPoolExecutor(3) as pool:
        wishes = [wish(f"{number}") for number in range(3)]
        calls = [pool.submit(backend.describe, each, stops(is_over)) for each in wishes]
        until(lambda: captioner.records() and len(files(live_url)) == 3)
        is_over.set()
        for call in calls:
            with pytest.raises(Stopped):
                call.result(60)
    assert {*kept} == {3}
    assert files(live_url) == []


def test_an_interrupt_begins_no_upload(caption, captioner, wish, monkeypatch):
    captioner.is_held, upload = True, Client.upload
    is_over, may_end, begun = threading.Event(), threading.Event(), []

    def slow(self, path, **fields):
        begun.append(path)
        may_end.wait(60)
        return upload(self, path, **fields)

    monkeypatch.setattr(Client, "upload", slow)
    with caption() as backend, ThreadPoolExecutor(8) as pool:
        wishes = [wish(f"{number}") for number in range(8)]
        calls = [pool.submit(backend.describe, each, stops(is_over)) for each in wishes]
        until(lambda: len(begun) == 4)
        is_over.set()
        may_end.set()
        assert {type(call.exception(60)) for call in calls} == {Stopped}
    assert len(begun) == 4


def test_what_another_call_has_settled_meanwhile_is_known(
    caption, captioner, wish, live_url, monkeypatch
):
    outcomes = Client.outcomes

    def late(self, batch):
        monkeypatch.setattr(Client, "outcomes", outcomes)
        with caption() as other:
            assert other.describe(wish("a"), nothing).text == "shows a"
        assert files(live_url, "batch_output") == []
        return outcomes(self, batch)

    monkeypatch.setattr(Client, "outcomes", late)
    with caption() as backend:
        assert backend.describe(wish("a"), nothing).text == "shows a"
    assert len(captioner.records()) == 1


@pytest.fixture
def begin_second(caption, captioner, wish, monkeypatch):
    """Send two batches, of which the second is held up while it is made."""
    create, may_go, made = Client.create_batch, threading.Event(), []

    def slow(self, *given, **named):
        made.append(given)
        if len(made) > 1:
            may_go.wait(100)
        return create(self, *given, **named)

    monkeypatch.setattr(Client, "create_batch", slow)
    captioner.is_held = True
    with caption() as backend, ThreadPoolExecutor(2) as pool:
        first = pool.submit(backend.describe, wish("a"), nothing)
        until(captioner.records)
        second = pool.submit(backend.describe, wish("b"), nothing)
        until(lambda: len(made) == 2)
        captioner.is_held = False
        try:
            yield first, second, may_go
        finally:
            may_go.set()


def test_a_batch_that_is_held_up_keeps_no_other_from_its_outcomes(begin_second):
    first, second, may_go = begin_second
    assert first.result(60).text == "shows a"
    assert not second.done()
    may_go.set()
    assert second.result(60).text == "shows b"


def test_a_defect_is_raised_where_its_own_outcomes_are_waited_for(
    begin_second, captioner, monkeypatch
):
    first, second, may_go = begin_second
    assert first.result(60).text == "shows a"
    monkeypatch.setattr("cli.sent.SentLines.confirm", None)
    may_go.set()
    with pytest.raises(TypeError):
        second.result(60)


class TestBatchLimit:
    """A key that may have one batch under way, and no more."""

    @pytest.fixture
    def server_settings(self, server_settings):
        return server_settings.model_copy(update={"max_live_batches_per_key": 1})

    def test_a_batch_too_many_waits_and_keeps_no_other_from_its_outcomes(
        self, caption, captioner, wish
    ):
        captioner.is_held = True
        with caption() as backend, ThreadPoolExecutor(2) as pool:
            first = pool.submit(backend.describe, wish("a"), nothing)
            until(captioner.records)
            second = pool.submit(backend.describe, wish("b"), nothing)
            until(lambda: len(backend._batcher._groups) == 2)
            captioner.is_held = False
            assert first.result(20).text == "shows a"
            assert second.result(20).text == "shows b"
        assert len(batches(captioner.worker)) == 2
