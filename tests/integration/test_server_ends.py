"""Who waits for a job is woken by its end, over one subscription per process."""

import asyncio
import time
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from server_apps import Worker, create_video

from contract.events import ENDS_CHANNEL
from server.ends import Ends
from server.settings import ServerSettings

PATIENCE = 20.0


async def until(worker: Worker, subscribers: int) -> None:
    """Wait until so many processes listen."""
    deadline = time.monotonic() + PATIENCE
    while worker.redis.pubsub_numsub(ENDS_CHANNEL)[0][1] != subscribers:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def woken_by(ends: Ends, job_id: str, act: Callable[[str], object]) -> None:
    """Watch a job, act, and expect to be woken long before the pause is over."""
    with ends.watch(job_id) as watch:
        pause = asyncio.create_task(watch.pause(10 * PATIENCE))
        await asyncio.sleep(0)
        await asyncio.to_thread(act, job_id)
        await asyncio.wait_for(pause, PATIENCE)


@pytest.mark.parametrize("act", ["complete", "cancel", "delete"])
def test_the_end_of_a_job_wakes_who_waits_for_it(
    api: TestClient, server_settings: ServerSettings, worker: Worker, act: str
) -> None:
    acts = {"complete": worker.complete, "cancel": worker.jobs.cancel, "delete": worker.jobs.delete}

    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            await until(worker, subscribers=2)  # the app listens, too
            await woken_by(ends, create_video(api), acts[act])

    asyncio.run(wait())


def test_a_lost_subscription_comes_back(server_settings: ServerSettings, worker: Worker) -> None:
    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            await until(worker, subscribers=1)
            (lost,) = worker.redis.client_list(_type="pubsub")
            worker.redis.client_kill_filter(_id=lost["id"])
            deadline = time.monotonic() + PATIENCE
            while not [
                found
                for found in worker.redis.client_list(_type="pubsub")
                if found["id"] != lost["id"]
            ]:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            await until(worker, subscribers=1)
            await woken_by(ends, "video_x", worker.jobs.delete)

    asyncio.run(wait())


def test_the_end_of_another_job_wakes_nobody(
    server_settings: ServerSettings, worker: Worker
) -> None:
    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            await until(worker, subscribers=1)
            with ends.watch("video_a") as a, ends.watch("video_b") as b:
                bs = asyncio.create_task(b.pause(10 * PATIENCE))
                worker.jobs.delete("video_a")
                await asyncio.wait_for(a.pause(10 * PATIENCE), PATIENCE)
                assert not bs.done()
                worker.jobs.delete("video_b")
                await asyncio.wait_for(bs, PATIENCE)

    asyncio.run(wait())
