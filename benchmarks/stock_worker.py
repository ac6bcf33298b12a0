"""A stock rq worker as a process, every default kept but its log.

`python -m ... QUEUE URL [CLASS]`, where the class is one of rq's: `Worker`, which forks for each
job, or `SimpleWorker`, which does not.
"""

from __future__ import annotations

import sys

import redis
import rq

import benchmarks.empty_job  # noqa: F401 - loaded before the fork, so that no job pays for it


def main(queue: str, url: str, kind: str = "Worker") -> None:
    """Work until SIGTERM."""
    worker = getattr(rq, kind)([queue], connection=redis.Redis.from_url(url))
    worker.work(logging_level="ERROR")


if __name__ == "__main__":
    main(*sys.argv[1:])
