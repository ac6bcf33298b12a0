"""A client of a Uni-ViGU server: videos with captions from prompts, captions from videos.

`Client` blocks, `AsyncClient` is awaited; both offer the same. It needs `httpx2` alone and imports
nothing else of this repository.
"""

from univigu_client.answers import ApiError, Event, Hit, Job, Kind, Source, StillRunning
from univigu_client.asynchronous import AsyncClient
from univigu_client.batches import Batch
from univigu_client.calls import CaptionFields, VideoFields
from univigu_client.synchronous import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Batch",
    "CaptionFields",
    "Client",
    "Event",
    "Hit",
    "Job",
    "Kind",
    "Source",
    "StillRunning",
    "VideoFields",
]
