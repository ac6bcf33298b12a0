"""The step that lets a job in: within its limits and written whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

import redis
from redis.client import Pipeline

#: KEYS: record, trace of a deleted job, live jobs of the account, waiting tickets.
#: ARGV: most live jobs or '', most waiting tickets, then commands, each behind its length.
_ADMIT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return {'known', redis.call('HGETALL', KEYS[1])} end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'gone', false} end
local live = redis.call('SCARD', KEYS[3])
if ARGV[1] ~= '' and live >= tonumber(ARGV[1]) then return {'too_many_live', live} end
local waiting = redis.call('LLEN', KEYS[4])
if waiting >= tonumber(ARGV[2]) then return {'queue_full', waiting} end
local at = 3
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
return {'admitted', false}
"""


class Verdict(StrEnum):
    """What became of a job."""

    #: it is written
    ADMITTED = "admitted"
    #: there is a job of this id, whose record comes along
    KNOWN = "known"
    #: there was one
    GONE = "gone"
    #: the account has as many live jobs as it may; so many come along
    TOO_MANY_LIVE = "too_many_live"
    #: as many tickets wait as may; so many come along
    QUEUE_FULL = "queue_full"


class Admission:
    """Writes jobs, each in one round trip.

    Args:
        connection: Redis with bytes responses.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self._admit = connection.register_script(_ADMIT)

    def __call__(
        self, keys: Sequence[str], commands: Pipeline, max_live: int | None, max_waiting: int
    ) -> tuple[Verdict, Any]:
        """Run the commands of a pipeline if there is no such job yet, and room for it.

        Args:
            keys: record, trace of a deleted job, live jobs of the account, waiting tickets.
            commands: what writes the job; nobody else executes them.
            max_live: jobs of the account that may wait or run; None for any number.
            max_waiting: tickets that may wait.

        Returns:
            What became of it, and what comes along.
        """
        limits = ["" if max_live is None else max_live, max_waiting]
        verdict, rest = self._admit(keys=keys, args=[*limits, *_words(commands)])
        return Verdict(verdict.decode()), rest


def _words(commands: Pipeline) -> Iterator[Any]:
    for words, _ in commands.command_stack:
        yield len(words)
        yield from words
