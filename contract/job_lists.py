"""Which jobs there are, of each kind and account, and in which states."""

from __future__ import annotations

from collections.abc import Iterable

from redis.client import Pipeline

from contract.indexes import SET_STATUS, delist, enlist
from contract.queues import Kind
from contract.records import Status

#: part of scripts: changes the status of a job and the lists that it is in
MOVE = (
    SET_STATUS
    + """
local function move(status)
  local job = redis.call('HMGET', KEYS[1], 'kind', 'account')
  local indexes = {'univigu:jobs:' .. job[1]}
  if job[2] and job[2] ~= '' then indexes[2] = indexes[1] .. ':' .. job[2] end
  set_status(status, indexes)
end
"""
)


def index_key(kind: Kind, account: str = "") -> str:
    """Return the Redis key of the sorted set of jobs of a kind, by creation time.

    Each account has one of its own; the one of the empty account holds the jobs of all.
    """
    return f"univigu:jobs:{kind}:{account}" if account else f"univigu:jobs:{kind}"


def add(pipeline: Pipeline, kind: Kind, account: str, job_id: str, created_at: float) -> None:
    """Add to a pipeline that there is a new job."""
    for index in {index_key(kind), index_key(kind, account)}:
        enlist(pipeline, index, job_id, created_at, Status.QUEUED)


def remove(pipeline: Pipeline, kinds: Iterable[Kind], account: str, job_id: str) -> None:
    """Add to a pipeline that there is a job no more."""
    for kind in kinds:
        for index in {index_key(kind), index_key(kind, account)}:
            delist(pipeline, index, job_id, Status)
