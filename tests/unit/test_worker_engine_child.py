import os
import time

import pytest

from contract.engine_status import EngineMemory
from worker.engine_child import EngineChild
from worker.settings import WorkerSettings

GREETING = (
    '{"checkpoint":"c@0","sizes":[[8,8]],"max_num_frames":1,"default_num_frames":1,"fps":1,'
    '"default_num_inference_steps":1,"default_understand_steps":1,'
    '"max_num_inference_steps":1,"default_guidance_scale":1.0,"temporal_compression":4,'
    '"max_prompt_tokens":1}'
)


@pytest.fixture
def engine():
    engines = []

    def start(code, **settings):
        command = ["-c", f"import os, sys, time\npipe = int(sys.argv[1])\n{code}"]
        engines.append(EngineChild(command, [], WorkerSettings(**settings)))
        return engines[-1]

    yield start
    for engine in engines:
        if engine.child.pid is not None:
            os.kill(engine.child.pid, 9)
        while engine.child.is_alive():
            time.sleep(0.01)
        engine.close()


def tend(engine, until, seconds=20):
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        engine.tend()
        time.sleep(0.02)


def test_capabilities_are_known_once_the_engine_has_greeted(engine):
    warm = engine(f"os.write(pipe, b'''{GREETING}\\n.''')\ntime.sleep(60)")
    tend(warm, lambda: warm.capabilities is not None)
    assert warm.capabilities.checkpoint == "c@0"


def test_greeting_in_two_pieces_is_put_together(engine):
    head, tail = GREETING[:40], GREETING[40:]
    slow = engine(
        f"os.write(pipe, b'''{head}''')\ntime.sleep(.3)\n"
        f"os.write(pipe, b'''{tail}\\n''')\ntime.sleep(60)"
    )
    tend(slow, lambda: slow.capabilities is not None)


def test_engine_that_stops_beating_is_killed_and_started_again(engine):
    hung = engine(f"os.write(pipe, b'''{GREETING}\\n''')\ntime.sleep(60)", engine_silence_seconds=1)
    tend(hung, lambda: hung.capabilities is not None)
    first = hung.child.pid
    tend(hung, lambda: hung.capabilities is None)
    tend(hung, lambda: hung.capabilities is not None)
    assert hung.child.pid != first


def test_engine_that_never_gets_warm_is_killed_after_its_time_to_start(engine):
    stuck = engine("time.sleep(60)", engine_start_seconds=0.5)
    tend(stuck, lambda: stuck.child.pid is not None)
    first = stuck.child.pid
    tend(stuck, lambda: stuck.child.pid not in (None, first))


def test_engine_that_cannot_start_is_tried_ever_more_rarely(engine):
    broken = engine("sys.exit(0)")
    tend(broken, lambda: broken.child.restart_seconds == 2)
    started = time.monotonic()
    tend(broken, lambda: broken.child.restart_seconds == 4)
    assert time.monotonic() - started > 1.5


def test_memory_is_what_the_engine_said_last_and_forgotten_with_it(engine):
    memory = '{"used":3,"peak":5,"budget":7}'
    warm = engine(f"os.write(pipe, b'''{GREETING}\\n\\n{memory}\\n''')\ntime.sleep(60)")
    tend(warm, lambda: warm.memory is not None)
    assert warm.memory == EngineMemory(used=3, peak=5, budget=7)
    os.kill(warm.child.pid, 9)
    tend(warm, lambda: warm.memory is None)
