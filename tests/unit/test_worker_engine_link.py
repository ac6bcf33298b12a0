from pathlib import Path

import pytest

from worker.engine_link import EngineLink
from worker.failures import EngineLost, HandBack
from worker.protocol import Progress, new_socket
from worker.waiting import Drain, Watch


@pytest.fixture
def drain():
    drain = Drain()
    yield drain
    drain.close()


@pytest.fixture
def watch(drain):
    return Watch(drain, beat=lambda: None, beat_seconds=60, timeout_seconds=60)


@pytest.fixture
def listener(tmp_path):
    with new_socket() as listener:
        listener.bind(str(tmp_path / "e.sock"))
        listener.listen()
        yield listener


@pytest.fixture
def path(listener):
    return Path(listener.getsockname())


def test_messages_arrive_whole_and_in_order(path, listener, watch):
    with EngineLink(path, watch, 5) as link, listener.accept()[0] as engine:
        for step in (1, 2):
            engine.send(Progress(phase="denoise", step=step, of=2).encode())
        assert [link.receive().step, link.receive().step] == [1, 2]


def test_engine_that_leaves_is_a_loss(path, listener, watch):
    with EngineLink(path, watch, 5) as link:
        listener.accept()[0].close()
        with pytest.raises(EngineLost, match="stopped while it had the job"):
            link.receive()


def test_engine_that_leaves_with_its_slot_costs_no_retry(path, listener, watch, drain):
    with EngineLink(path, watch, 5) as link:
        drain.request(60)
        listener.accept()[0].close()
        with pytest.raises(HandBack):
            link.receive()


def test_job_is_handed_back_when_no_engine_comes(tmp_path, watch):
    with pytest.raises(HandBack, match=r"no engine for 0\.3 seconds"):
        EngineLink(tmp_path / "none.sock", watch, 0.3)


def test_slot_waits_for_an_engine_that_restarts(tmp_path, drain):
    path = tmp_path / "late.sock"
    listener = new_socket()

    def start():
        if not path.exists():
            listener.bind(str(path))
            listener.listen()

    watch = Watch(drain, beat=start, beat_seconds=0.3, timeout_seconds=60)
    with EngineLink(path, watch, 10), listener:
        listener.accept()[0].close()
