"""The server's side of a library that is sent in batches, with the model played by a thread."""

import threading
from contextlib import contextmanager

import httpx2
import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from cli.backend import TextWish
from cli.batcher import Batcher
from cli.batching import BatchingModel
from cli.index import CaptionIndex
from cli.sent import SentLines
from contract.batches import BatchStore
from contract.errors import ErrorInfo
from contract.records import Status
from univigu_client import Client


class Model:
    """Tells what is in a video; `bad` is none, of `lost` the worker dies once."""

    def __init__(self, worker):
        self.worker, self.is_held, self.lost = worker, False, 1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.02):
            for job_id in () if self.is_held else self.worker.jobs.live_ids():
                self._answer(job_id)

    def _answer(self, job_id):
        worker, record = self.worker, self.worker.jobs.get(job_id)
        # a slot takes its ticket with it: the server counts those that wait
        Queue("understand", connection=worker.redis, serializer=JSONSerializer).remove(job_id)
        try:
            content = worker.artifacts.get(record.parsed_request().source).decode()
        except FileNotFoundError:  # its sender has left
            content = "lost"
        code = {"bad": "invalid_video", "lost": "worker_lost"}.get(content)
        if content == "lost" and not self.lost:
            code = None
        if code is None:
            worker.complete(job_id, f"shows {content}", seconds=1)
            return
        self.lost -= content == "lost"
        attempt = worker.start(job_id)
        info = ErrorInfo(code=code, message=f"it is {content}")
        worker.jobs.finish(job_id, attempt, Status.FAILED, error=info)

    def records(self):
        ids = self.worker.jobs.list_ids("understand", 1000, None, newest_first=False)
        return self.worker.jobs.get_many(ids)

    def close(self):
        self._stop.set()
        self._thread.join()


@pytest.fixture
def captioner(worker):
    found = Model(worker)
    yield found
    found.close()


@pytest.fixture
def wish(tmp_path):
    def make(content, **fields):
        path = tmp_path / f"{content}.mp4"
        path.write_text(content)
        return TextWish(path, None, 3, key=f"key of {content or None}", **fields)

    return make


@pytest.fixture
def caption(live_url, tmp_path):
    """Start captioning as one call of the command; gives the backend."""
    index = tmp_path / "captions.db"

    @contextmanager
    def begin():
        with CaptionIndex(index), Client(live_url) as client, SentLines(index, live_url) as sent:
            with Batcher(client, sent) as batcher:
                yield BatchingModel(client, batcher)

    return begin


def nothing(at, of):
    pass


def files(url, purpose="user_data"):
    """Return the files of a purpose that a server keeps."""
    return httpx2.get(f"{url}/v1/files", params={"purpose": purpose}).json()["data"]


def batches(worker):
    """Return all batches, the newest first."""
    store = BatchStore(worker.redis)
    return store.get_many(store.list_ids(100, None))
