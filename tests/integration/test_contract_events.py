"""Event logs and engine status on real Redis."""

import pytest
import redis
from server_apps import CAPABILITIES

from contract.engine_status import (
    BEAT_TTL_SECONDS,
    beat,
    publish_capabilities,
    read_capabilities,
    retract,
    warm_workers,
)
from contract.events import Event, events_key, read_events

pytestmark = pytest.mark.every_redis


def test_a_log_is_replayed_from_any_id(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        for id_ in ("1-0", "2-0", "3-0"):
            entry = {"type": "progress", "data": f'{{"step": {id_[0]}}}'}
            connection.xadd(events_key("video_x"), entry, id=id_)
        assert read_events(connection, "video_x", after="1-0") == [
            Event("2-0", "progress", {"step": 2}),
            Event("3-0", "progress", {"step": 3}),
        ]


def test_a_log_without_news_is_empty_after_the_wait(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        assert read_events(connection, "video_x") == []
        assert read_events(connection, "video_x", block_ms=10) == []


def test_capabilities_are_unknown_until_published(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        assert read_capabilities(connection) is None
        publish_capabilities(connection, CAPABILITIES)
        assert read_capabilities(connection) == CAPABILITIES


def test_warm_workers_are_those_whose_beat_has_not_expired(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        beat(connection, "a")
        beat(connection, "b")
        beat(connection, "a")
        assert warm_workers(connection) == 2
        assert 0 < connection.ttl("univigu:engine:a") <= BEAT_TTL_SECONDS
        retract(connection, "b")
        assert warm_workers(connection) == 1
