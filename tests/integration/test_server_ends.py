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
                await until(worker, subscribers=1)
                await asyncio.to_thread(acts[act], job_id)
                await asyncio.wait_for(watch.pause(10 * PATIENCE), PATIENCE)

    asyncio.run(wait())


def test_a_lost_subscription_comes_back(server_settings: ServerSettings, worker: Worker) -> None:
    def others(lost: str) -> bool:
        found = worker.redis.client_list(_type="pubsub")
        return [client["id"] for client in found] not in ([], [lost])

    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            with ends.watch("video_x") as watch:
                await until(worker, subscribers=1)
                (lost,) = worker.redis.client_list(_type="pubsub")
                worker.redis.client_kill_filter(_id=lost["id"])
                deadline = time.monotonic() + PATIENCE
                while not others(lost["id"]):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.02)
                await until(worker, subscribers=1)
                worker.jobs.delete("video_x")
                await asyncio.wait_for(watch.pause(10 * PATIENCE), PATIENCE)

    asyncio.run(wait())


def test_the_end_of_another_job_wakes_nobody(
    server_settings: ServerSettings, worker: Worker
) -> None:
    async def wait() -> None:
        ends = Ends(server_settings.redis_url or "")
        async with ends.listening():
            with ends.watch("video_a") as a, ends.watch("video_b") as b:
                await until(worker, subscribers=1)
                bs = asyncio.create_task(b.pause(10 * PATIENCE))
                worker.jobs.delete("video_a")
                await asyncio.wait_for(a.pause(10 * PATIENCE), PATIENCE)
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
