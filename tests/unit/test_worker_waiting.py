import threading
import time

import pytest

from worker.failures import HandBack, JobFailed, NotMine
from worker.waiting import Drain, Watch


@pytest.fixture
def drain():
    drain = Drain()
    yield drain
    drain.close()


@pytest.fixture
def watch(drain):
    def make(beat=lambda: None, beat_seconds=60.0, timeout_seconds=60.0):
        return Watch(drain, beat, beat_seconds, timeout_seconds)

    return make


def test_wait_hands_back_when_the_grace_is_over(drain, watch):
    drain.request(0.05)
    started = time.monotonic()
    with pytest.raises(HandBack):
        watch().call(threading.Event().wait)
    assert 0.04 < time.monotonic() - started < 5


def test_wait_ends_when_a_thread_asks_the_slot_to_leave(drain, watch):
    threading.Timer(0.05, drain.request, [0]).start()
    with pytest.raises(HandBack):
        watch().wait(at_most=30)


def test_first_wish_to_leave_sets_the_grace(drain):
    drain.request(1)
    first = drain.at
    drain.request(100)
    assert drain.at == first


def test_job_that_takes_too_long_fails_with_its_limit(watch):
    with pytest.raises(JobFailed, match=r"longer than 0\.05 seconds") as failure:
        watch(timeout_seconds=0.05).wait()
    assert failure.value.info.code == "timeout"


def test_lease_is_renewed_while_a_blocking_call_runs(watch):
    beats = []
    answer = watch(lambda: beats.append(1), beat_seconds=0.05).call(lambda: time.sleep(0.3) or 42)
    assert answer == 42
    assert 3 <= len(beats) <= 6


def test_blocking_call_raises_what_its_work_raised(watch):
    def broken():
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        watch().call(broken)


def test_lost_job_is_let_go_in_the_middle_of_a_blocking_call(watch):
    def beat():
        raise NotMine

    released = threading.Event()
    started = time.monotonic()
    with pytest.raises(NotMine):
        watch(beat, beat_seconds=0.05).call(lambda: released.wait(30))
    assert time.monotonic() - started < 5
    released.set()
