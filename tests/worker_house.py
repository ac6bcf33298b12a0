"""A running worker for tests: real processes, a real Redis and a local artifact store."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import redis
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.artifacts import ArtifactStore
from contract.engine_status import warm_workers
from contract.events import read_events
from contract.jobs import JobStore
from contract.queues import QUEUES
from contract.records import Status, new_job_id
from contract.requests import GenerateRequest, UnderstandRequest
from worker.tickets import enqueue

ROOT = Path(__file__).parents[1]
STAND_IN = [str(Path(__file__).with_name("stand_in_worker.py"))]


def until(condition, seconds=30.0):
    """Return what `condition` gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.02)
    return answer


class House:
    """One worker's surroundings, and the worker itself once it is started."""

    def __init__(self, redis_url, folder, **settings):
        self.redis = redis.Redis.from_url(redis_url)
        self.temporary = folder / "t"
        self.temporary.mkdir()
        settings = {"redis_url": redis_url, "data_dir": folder / "data"} | settings
        variables = {f"UNIVIGU_{name}".upper(): str(value) for name, value in settings.items()}
        own = {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"}
        self.environment = os.environ | variables | own
        self.jobs = JobStore(self.redis)
        self.artifacts = ArtifactStore((folder / "data" / "artifacts").absolute().as_uri())
        self.queues = {
            kind: Queue(kind, connection=self.redis, serializer=JSONSerializer) for kind in QUEUES
        }
        self.worker = None

    def start(self, command=STAND_IN):
        self.worker = psutil.Popen(
            [sys.executable, *command], env=self.environment, cwd=ROOT, stdin=subprocess.DEVNULL
        )
        until(lambda: warm_workers(self.redis), 120)

    def stop(self):
        """End the worker as an operator would, and return how it ended."""
        self.worker.send_signal(signal.SIGTERM)
        return self.worker.wait(60)

    def close(self):
        if self.worker is not None and self.worker.is_running():
            family = [self.worker, *self.worker.children(recursive=True)]
            for process in family:
                process.kill()
            psutil.wait_procs(family, 10)
        self.redis.close()

    def child(self, *words):
        """Return the worker's child whose command line has these words, once there is one."""
        return until(lambda: next(iter(self._children(*words)), None))

    def _children(self, *words):
        for process in self.worker.children():
            try:
                line = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if all(word in line for word in words) and process.status() != psutil.STATUS_ZOMBIE:
                yield process

    def generate(self, prompt="a red ball", steps=4, **fields):
        return self.submit(self.request(prompt, steps, **fields))

    def request(self, prompt="a red ball", steps=4, **fields):
        return GenerateRequest(
            **{
                "prompt": prompt,
                "seed": 7,
                "height": 32,
                "width": 48,
                "num_frames": 5,
                "fps": 8,
                "num_inference_steps": steps,
                "guidance_scale": 1.0,
            }
            | fields
        )

    def understand(self, source, steps=2, seed=7, **fields):
        return self.submit(
            UnderstandRequest(source=source, seed=seed, num_inference_steps=steps, **fields)
        )

    def submit(self, request, enqueued=True):
        job_id = new_job_id(request.kind)
        with self.redis.pipeline() as pipeline:
            self.jobs.create(job_id, request, pipeline)
            pipeline.execute()
        if enqueued:
            enqueue(self.queues[request.kind], job_id)
        return job_id

    def running(self, job_id, step=1, attempt=1):
        """Return the record once an attempt has made a step."""

        def has_stepped():
            record = self.jobs.get(job_id)
            return record if record.attempt >= attempt and record.step >= step else None

        return until(has_stepped)

    def ended(self, job_id, seconds=30.0):
        """Return the record once the job has ended."""

        def terminal():
            record = self.jobs.get(job_id)
            return record if record.status.is_terminal else None

        return until(terminal, seconds)

    def completed(self, job_id):
        record = self.ended(job_id)
        assert record.status is Status.COMPLETED, record.error
        return record

    def holder(self, job_id):
        """Return the process of the slot that holds a job."""
        return psutil.Process(int(self.jobs.get(job_id).owner.split("-")[-2]))

    def retries_left(self, job_id):
        job = self.queues[self.jobs.get(job_id).kind].fetch_job(job_id)
        return job.retries_left

    def events(self, job_id):
        return [event.type for event in read_events(self.redis, job_id)]

    def steps(self, job_id):
        """Return the steps of every attempt, as a list per attempt."""
        attempts = []
        for event in read_events(self.redis, job_id):
            if event.type == "started":
                attempts.append([])
            if event.type == "progress":
                attempts[-1].append(event.data["step"])
        return attempts

    def leftovers(self):
        """Return the files that the worker left in its temporary folder."""
        return sorted(path.name for path in self.temporary.iterdir())
