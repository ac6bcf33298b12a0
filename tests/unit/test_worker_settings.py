import subprocess
import sys

import pytest

from worker.connection import connect
from worker.settings import WorkerSettings


def test_only_the_engine_imports_torch():
    code = (
        "import sys, worker.slot, worker.supervisor, worker.janitor\n"
        "from worker.settings import WorkerSettings\n"
        "assert WorkerSettings().checkpoint.name == 'moving-shapes'\n"
        "sys.exit(' '.join({'torch', 'model', 'fastapi', 'server'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_worker_without_an_address_of_its_queue_says_what_is_missing():
    with pytest.raises(ValueError, match="redis_url is not set"):
        connect(WorkerSettings(redis_url=None))


@pytest.mark.parametrize("value", ["half", "float16"])
def test_unknown_precision_is_refused(value):
    with pytest.raises(ValueError, match="float32"):
        WorkerSettings(dtype=value)
