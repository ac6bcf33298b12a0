"""Caption many videos at a time: python examples/caption_videos.py a.mp4 b.mkv."""

import asyncio
import os
import sys

from univigu_client import ApiError, AsyncClient

URL = os.environ.get("UNIVIGU_URL", "http://127.0.0.1:8000")


async def caption(client: AsyncClient, turns: asyncio.Semaphore, path: str) -> None:
    async with turns:
        try:
            job = await client.caption(path, seed=0)
        except (ApiError, OSError) as error:
            print(f"{path}: error: {error}")
        else:
            print(f"{path}: {job.text or f'error: {job.error}'}")


async def main() -> None:
    turns = asyncio.Semaphore(4)
    async with AsyncClient(URL, os.environ.get("UNIVIGU_API_KEY")) as client:
        await asyncio.gather(*(caption(client, turns, path) for path in sys.argv[1:]))


asyncio.run(main())
