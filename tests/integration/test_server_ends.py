"""Who waits for a job is woken by its end, over one subscription per process."""

import asyncio
import time
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from server_apps import Worker, create_video

from contract.events import ENDS_CHANNEL
from contract.records import Status
from server import waiting
from server.ends import Ends, Watch
from server.settings import ServerSettings

PATIENCE = 20.0


async def until(worker: Worker, subscribers: int) -> None:
    """Wait until so many processes listen."""
    deadline = time.monotonic() + PATIENCE
    while worker.redis.pubsub_numsub(ENDS_CHANNEL)[0][1] != subscribers:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def woken(watch: Watch) -> None:
    """Wait to be woken."""
    await asyncio.wait_for(watch.pause(10 * PATIENCE), PATIENCE)


@pytest.mark.parametrize("act", ["complete", "cancel", "delete"])
def test_the_end_of_a_job_wakes_who_waits_for_it(
    api: TestClient, server_settings: ServerSettings, worker: Worker, act: str
) -> None:
    acts: dict[str, Callable[[str], object]] = {
        "complete": worker.complete,
        "cancel": worker.jobs.cancel,
        "delete": worker.jobs.delete,
    }
    job_id = create_video(api)

    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            with ends.watch(job_id) as watch:
                await woken(watch)  # somebody listens from now on
                await asyncio.to_thread(acts[act], job_id)
                await woken(watch)

    asyncio.run(wait())


def test_an_end_before_anybody_listens_is_looked_for(
    api: TestClient, server_settings: ServerSettings, worker: Worker
) -> None:
    job_id = create_video(api)

    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        with ends.watch(job_id) as watch:
            worker.complete(job_id)
            async with ends.listening():
                await woken(watch)

    asyncio.run(wait())


def test_an_end_before_the_wait_is_seen_at_once(
    api: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_PAUSE_SECONDS", 10 * PATIENCE)
    services = api.app.state.services  # type: ignore[attr-defined]
    job_id = create_video(api)
    seen_before = worker.jobs.get(job_id)
    assert seen_before is not None
    worker.complete(job_id)
    wait = waiting.until_ended(services, seen_before, 10 * PATIENCE)
    assert asyncio.run(asyncio.wait_for(wait, PATIENCE)).status is Status.COMPLETED


def test_a_lost_subscription_comes_back(server_settings: ServerSettings, worker: Worker) -> None:
    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            with ends.watch("video_x") as watch:
                await woken(watch)
                (lost,) = worker.redis.client_list(_type="pubsub")
                worker.redis.client_kill_filter(_id=lost["id"])
                await woken(watch)  # what has ended meanwhile was told to nobody
                worker.jobs.delete("video_x")
                await woken(watch)

    asyncio.run(wait())


def test_the_end_of_another_job_wakes_nobody(
    server_settings: ServerSettings, worker: Worker
) -> None:
    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            with ends.watch("video_a") as a, ends.watch("video_b") as b:
                await asyncio.gather(woken(a), woken(b))
                bs = asyncio.create_task(b.pause(10 * PATIENCE))
                worker.jobs.delete("video_a")
                await woken(a)
                assert not bs.done()
                worker.jobs.delete("video_b")
                await asyncio.wait_for(bs, PATIENCE)

    asyncio.run(wait())


def test_where_nobody_waits_nobody_listens(server_settings: ServerSettings, worker: Worker) -> None:
    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            for _ in range(2):
                await until(worker, subscribers=0)
                with ends.watch("video_x"):
                    await until(worker, subscribers=1)

    asyncio.run(wait())
