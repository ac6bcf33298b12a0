"""Many jobs through the whole service, and what its processes hold after every round of them."""

import re
from collections import Counter
from dataclasses import dataclass, field

import httpx2
import numpy as np
import redis
from cli_house import Service, until

from cli.embedded import EmbeddedRedis
from contract.jobs import JobStore
from contract.records import Status

#: what a job is, by its number; captions see one clip, so that the engine knows it from before
_WISHES = (
    ("videos", {"prompt": "a red circle moving left", "num_inference_steps": "2"}),
    ("captions", {}),
    ("videos", {"prompt": "a blue square", "mode": "text_to_video", "num_inference_steps": "2"}),
    ("captions", {"instruction": "which shape is it"}),
    ("videos", {"prompt": "a circle", "num_inference_steps": "4", "preview_interval": "2"}),
)
_NO_VIDEO = b"this is no video"
_PATIENCE_SECONDS = 600


@dataclass
class Sample:
    """What is held after so many jobs."""

    jobs: int
    #: by role: bytes and counts of every process
    rss: dict[str, int] = field(default_factory=dict)
    descriptors: dict[str, int] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)
    temporary_files: int = 0
    stored_files: int = 0
    redis_bytes: int = 0
    #: keys that stay until somebody removes them, by what they are for
    lasting_keys: Counter[str] = field(default_factory=Counter)


class SoakHouse:
    """`univigu serve` on a Redis that can be looked into; use it as a context manager.

    Args:
        folder: an empty folder for everything that is written.
        checkpoint: what the engine loads.
        clip: an input video.
    """

    def __init__(self, folder, checkpoint, clip):
        self._folder, self._checkpoint, self._clip = folder, checkpoint, clip
        self._server = EmbeddedRedis(folder / "redis")
        self._done = 0
        self.endings = Counter()

    def __enter__(self):
        self._server.start()
        self.redis = redis.Redis.from_url(self._server.url)
        self._jobs = JobStore(self.redis)
        variables = {"REDIS_URL": self._server.url, "GENERATE_SLOTS": 2, "UNDERSTAND_SLOTS": 2}
        variables |= {"NUM_THREADS": 1, "CACHE_BYTES": 1 << 24}
        own = {f"UNIVIGU_{name}": value for name, value in variables.items()}
        self.service = Service(self._folder, self._checkpoint, **own)
        self._client = httpx2.Client(base_url=self.service.url, timeout=60)
        return self

    def __exit__(self, *exc_info):
        self._client.close()
        self.service.close()
        self.redis.close()
        self._server.stop()

    def round(self, count):
        """Do so many jobs, look at each, and delete them all."""
        paths = [self._create(self._done + number) for number in range(count)]
        self._client.post(f"{paths[0]}/cancel").raise_for_status()
        until(lambda: not self._jobs.live_ids(), _PATIENCE_SECONDS)
        for path in paths:
            self.endings[self._look_at(path)] += 1
            self._client.delete(path).raise_for_status()
        self._done += count

    def sample(self):
        """Return what is held now."""
        found = Sample(self._done)
        for process in self.service.family():
            role = _role(process)
            with process.oneshot():
                found.rss[role] = process.memory_info().rss
                found.descriptors[role] = process.num_fds()
                found.threads[role] = process.num_threads()
        found.temporary_files = _count_files(self.service.temporary)
        found.stored_files = _count_files(self.service.data)
        found.redis_bytes = self.redis.info("memory")["used_memory"]
        for key in self.redis.scan_iter(count=1000):
            if self.redis.ttl(key) == -1:
                found.lasting_keys[re.sub(rb"[:-].*?[0-9a-f]{8,}.*", b"", key).decode()] += 1
        return found

    def _create(self, number):
        kind, form = _WISHES[number % len(_WISHES)]
        is_broken = number % 25 == 6
        clip = _NO_VIDEO if is_broken else self._clip
        files = {"video": ("in.mp4", clip, "video/mp4")} if kind == "captions" else None
        answer = self._client.post(f"/v1/{kind}", data=form, files=files)
        answer.raise_for_status()
        return f"/v1/{kind}/{answer.json()['id']}"

    def _look_at(self, path):
        seen = self._client.get(path).json()
        if seen["status"] == Status.COMPLETED and "/videos/" in path:
            self._client.get(f"{path}/content").raise_for_status()
        return seen["status"]


def slope(jobs, values):
    """Return the growth per job, by least squares."""
    return float(np.polyfit(jobs, values, 1)[0])


def _count_files(folder):
    return sum(path.is_file() for path in folder.rglob("*"))


def _role(process):
    """Return what a process is, and which."""
    words = process.cmdline()
    module = words[words.index("-m") + 1] if "-m" in words else words[0]
    return f"{module} {process.pid}"
